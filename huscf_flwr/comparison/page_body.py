"""What is on the page of a comparison, as a Jinja template."""

BODY = """\
{% macro number(cell, metric) -%}
{% if cell is none %}{{ unknown }}{% else -%}
<span{% if cell.is_best %} class="best"{% endif %}>{{ cell.values.mean|of_metric(metric) }}</span>
{%- if cell.has_spread %}<br><small>{{ cell.values.least|of_metric(metric) }} to
  {{ cell.values.most|of_metric(metric) }}</small>{% endif %}
{%- if cell.beside_reference %}<br><small>{{ cell.beside_reference }}</small>{% endif %}
{%- endif %}
{%- endmacro %}
{% macro heading(metric) -%}
{{ metric.heading }}{% if metric.better %}&nbsp;{{ "↑" if metric.better == "higher" else "↓" }}{% endif %}
{%- endmacro %}
{% macro seconds(costs, rule) -%}
{% if rule in costs.prices %}{{ costs.prices[rule].step_s|decimal(3) }}{% else %}{{ unknown }}{% endif %}
{%- if rule in costs.without_slowest %}<br><small>
  {{- costs.without_slowest[rule].step_s|decimal(3) }}</small>{% endif %}
{%- endmacro %}
{% macro sent(costs, way) -%}
{{ costs.bytes_by_client.get(way)|bytes }}
{%- if way in costs.bytes_of_round %}<br><small>{{ costs.bytes_of_round[way]|bytes }}</small>{% endif %}
{%- endmacro %}
{% macro learned(reveals) -%}
{% for each in reveals %}{{ each.value }}{{ "" if loop.last else "; " }}{% else %}nothing{% endfor %}
{%- endmacro %}
<style>
  .best { font-weight: 700; }
  small { color: var(--soft); font-size: 11.5px; line-height: 1.3; }
  .scores th { white-space: normal; }
  .scores td.number { font-size: 15px; line-height: 1.25; }
  .side-by-side { width: auto; margin-top: 36px; }
  .side-by-side img { display: block; height: 112px; width: auto; image-rendering: pixelated; }
  .side-by-side th { padding-right: 24px; }
  td.learned { white-space: normal; min-width: 180px; }
  .failed { color: var(--c1); white-space: normal; }
</style>
<header>
  <p class="eyebrow">A comparison</p>
  <h1>{{ results.name }}</h1>
</header>
<p class="lead">{{ results.description }}</p>
<p class="note">Seeds {{ results.seeds|join(", ") }}. Every number is the mean over the seeds, with the least
  and the most below it. Bold is the best, and what cannot be told from it: a difference counts only if the
  ranges over the seeds do not touch. Below that stands how a method does beside {{ results.reference }}, with
  the mean difference of pairs by seed.</p>
{% for scenario in scenarios %}
{% for domain in scenario.domains %}
<section>
  <h2>{{ scenario.name }}: {{ domain.name }}</h2>
  <div class="scroll"><table class="scores">
    <thead><tr>
      <th class="text">Method</th><th>Seeds</th>
      {% for metric in domain.metrics %}
      <th>{{ heading(metric) }}{% if scenario.is_doubtful(domain.name, metric) %}
        <br><small>by a weak judge</small>{% endif %}</th>
      {% endfor %}
      {% if scenario.has_clusters_to_tell %}
      <th>{{ heading(ari) }}</th>
      {% endif %}
      {% for metric in domain.targets %}
      {% set target = scenario.target_heading(domain.name, metric, results.targets[metric.name]) %}
      <th>{{ target[:1]|upper }}{{ target[1:] }}</th>
      {% endfor %}
    </tr></thead>
    <tbody>
    {% for column, cells in domain.rows %}
    <tr>
      <th>{{ column.name }}</th>
      <td>{{ column.records|length }}{% if column.failures %}<br><small class="failed">
        {{- column.failures|length }} failed</small>{% endif %}</td>
      {% for metric in domain.metrics %}
      <td class="number">{{ number(cells.get(metric.name), metric) }}</td>
      {% endfor %}
      {% if scenario.has_clusters_to_tell %}
      <td class="number">{% if "ari" in column.clustering %}{{ column.clustering["ari"].mean|of_metric(ari) }}
        {%- else %}{{ unknown }}{% endif %}</td>
      {% endif %}
      {% for metric in domain.targets %}
      {% set sent = column.bytes_to_targets.get(domain.name, {}).get(metric.name) %}
      <td>{{ unknown if sent is none else sent.told }}</td>
      {% endfor %}
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
  {% if domain.targets %}
  <p class="note">{{ about_bytes }}</p>
  {% endif %}
  <div class="charts" style="margin-top: 36px">
    {% for chart in domain.charts %}
    <figure><h3>{{ chart.title }}</h3><img src="{{ chart.source }}" alt="{{ chart.title }}"></figure>
    {% endfor %}
  </div>
  {% for name, picture in domain.pictures %}
  {% if loop.first %}
  <h3 style="margin-top: 40px">The same labels, drawn by each</h3>
  <p class="note">A column for each label, in their order; of a method's first seed.</p>
  <div class="scroll"><table class="side-by-side"><tbody>
  {% endif %}
    <tr><th>{{ name }}</th><td><img src="{{ picture }}" alt="images drawn by {{ name }}"></td></tr>
  {% if loop.last %}
  </tbody></table></div>
  {% endif %}
  {% endfor %}
</section>
{% endfor %}
{% if scenario.clustering %}
<section>
  <h2>{{ scenario.name }}: clusters</h2>
  <div class="charts" style="margin-top: 24px">
    {% for chart in scenario.clustering %}
    <figure><h3>{{ chart.title }}</h3><img src="{{ chart.source }}" alt="{{ chart.title }}"></figure>
    {% endfor %}
  </div>
</section>
{% endif %}
{% if not scenario.shown %}
<section>
  <h2>{{ scenario.name }}</h2>
  <p class="lead">No run is finished yet.</p>
  {% for column in scenario.columns if column.failures %}
  <p class="note failed">{{ column.name }} failed: {{ column.failures.values()|first }}</p>
  {% endfor %}
</section>
{% else %}
<section>
  <h2>{{ scenario.name }}: what it costs, and what it shows</h2>
  <p class="lead">Bytes are counted as they cross. Arithmetic and seconds are predicted by the latency model
    for the configured devices, with what crosses once a round spread over its steps. The exact rule counts
    what is computed, the paper's rule as the authors' code does. Small below bytes is what crosses in a
    round, small below seconds what they are without the slowest class of devices.</p>
  <div class="scroll"><table>
    <thead><tr>
      <th class="text">Method</th><th>Learning<br>rate</th><th>Rounds</th>
      <th>Up,<br>a client</th><th>Down,<br>a client</th>
      <th>GFLOP a step,<br>client</th><th>GFLOP a step,<br>server</th>
      <th>Seconds a step,<br>exact</th><th>Seconds a step,<br>paper</th>
    </tr></thead>
    <tbody>
    {% for column in scenario.columns %}
    {% set costs = column.costs %}
    <tr>
      <th>{{ column.name }}</th>
      <td>{{ column.learning_rates|join(", ") }}</td>
      {% if costs is none %}
      <td colspan="7" class="text failed">{{ column.failures.values()|first|default("not made yet") }}</td>
      {% else %}
      <td>{{ costs.rounds }}</td>
      <td>{{ sent(costs, "up") }}</td>
      <td>{{ sent(costs, "down") }}</td>
      {% if "exact" in costs.prices %}
      <td>{{ costs.prices["exact"].client_gflop|decimal(2) }}</td>
      <td>{{ costs.prices["exact"].server_gflop|decimal(2) }}</td>
      {% else %}
      <td>{{ unknown }}</td><td>{{ unknown }}</td>
      {% endif %}
      <td>{{ seconds(costs, "exact") }}</td>
      <td>{{ seconds(costs, "paper") }}</td>
      {% endif %}
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
  <p class="note">A method without bytes stands in no chart over bytes.</p>
  {% if scenario.has_memory %}
  <h3 style="margin-top: 36px">Memory of a client</h3>
  <p class="note">The most bytes of tensors that a client has at once, by what it is doing; of the client that
    needs most.</p>
  <div class="scroll"><table>
    <thead><tr><th class="text">Method</th><th class="text">Memory</th></tr></thead>
    <tbody>
    {% for column in scenario.columns if column.costs is not none and column.costs.memory %}
    <tr>
      <th>{{ column.name }}</th>
      <td class="text">{% for phase, count in column.costs.memory.items() %}{{ phase }} {{ count|bytes }}
        {{- "" if loop.last else ", " }}{% endfor %}</td>
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
  {% endif %}
  <div class="scroll" style="margin-top: 36px"><table>
    <thead><tr>
      <th class="text">Method</th><th class="text">The server learns</th>
      <th class="text">Other clients learn</th>
    </tr></thead>
    <tbody>
    {% for column in scenario.columns if column.costs is not none %}
    <tr>
      <th>{{ column.name }}</th>
      <td class="text learned">{{ learned(column.costs.shows_server) }}</td>
      <td class="text learned">{{ learned(column.costs.shows_clients) }}</td>
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
</section>
{% endif %}
{% endfor %}
<footer>huscf compare {{ results.name }}</footer>
"""
