"""What is on the report's page, as a Jinja template: a section or column appears where its data exist."""

BODY = """\
{% macro blocks(cut) -%}
<span class="cut" role="img" aria-label="{{ cut.words }}" title="{{ cut.words }}">
  {%- for place in cut.places %}<i class="{{ place }}"></i>{% endfor %}</span>
{%- endmacro %}
{% macro chip(text, colour) -%}
{% if text is none %}{{ unknown }}{% else -%}
<span class="chip" style="--c: var(--c{{ colour % light|length }})">{{ text }}</span>
{%- endif %}
{%- endmacro %}
{% macro product(name) -%}
{{ chip(name, colours.get(name, 0)) }}
{%- endmacro %}
{% macro one(number, word) -%}
{{ number|count }} {{ word }}{{ "" if number == 1 else "s" }}
{%- endmacro %}
{% macro first_of(rows) -%}
{% if rows|length > most_clients %} Shown are the first {{ most_clients }} of
{{ rows|length|count }} clients.{% endif %}
{%- endmacro %}
{% macro heading(metric) -%}
{{ metric.heading.split(" ", 1)|join("<br>"|safe) }}
{%- if metric.better %} {{ "↑" if metric.better == "higher" else "↓" }}{% endif %}
{%- endmacro %}
{% macro meanings(metrics) -%}
<p class="note">{% for metric in metrics if metric.meaning %}{{ metric.meaning }} {% endfor %}
  {%- if metrics|selectattr("better")|list %}↑ higher is better, ↓ lower is better.{% endif %}</p>
{%- endmacro %}
{% macro scores(table, title, with_product) -%}
<div class="scroll"><table class="scores">
    <thead><tr>
      <th class="text">{{ title }}</th>{% if with_product %}<th class="text">Product</th>{% endif %}

      {% for metric in table.metrics %}
      <th>{{ heading(metric) }}</th>
      {% endfor %}
    </tr></thead>
    <tbody>
    {% for name, judged, values in table.rows %}
    <tr>
      {% if with_product %}
      <th><span class="dot" style="--c: var(--c{{ loop.index0 % light|length }})"></span>{{ name }}</th>
      <td class="text">{{ product(judged) }}</td>
      {% else %}
      <th>{{ product(name) }}</th>
      {% endif %}
      {% for metric in table.metrics %}
      <td class="{{ "" if metric.detail else "key" }}">{{ values.get(metric.name)|of_metric(metric) }}</td>
      {% endfor %}
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
{%- endmacro %}
<header>
  <p class="eyebrow">{{ "A run of " ~ method if method else "A run" }}</p>
  <h1>{{ name }}</h1>
  {% if not finished %}
  <p class="state">Not finished: what is known after {{ one(figures.rounds, "round") }}</p>
  {% endif %}
  <dl class="figures">
    <div><dt>Rounds</dt><dd>{{ figures.rounds|count }}</dd></div>
    <div><dt>{{ "Pools" if figures.pooled else "Clients" }}</dt><dd>{{ figures.clients|count }}</dd></div>
    {% if figures.clusters is not none %}
    <div><dt>Clusters</dt><dd>{{ figures.clusters|count }}</dd></div>
    {% endif %}
    {% for metric in figures.metrics %}
    <div title="{{ metric.meaning }}"><dt>{{ metric.heading }}</dt>
      <dd>{{ figures.scores[metric.name]|of_metric(metric) }}</dd></div>
    {% endfor %}
    <div><dt>Time</dt><dd>{{ figures.seconds|duration }}</dd></div>
    <div><dt>Sent up</dt><dd>{{ figures.up|bytes }}</dd></div>
    <div><dt>Sent down</dt><dd>{{ figures.down|bytes }}</dd></div>
  </dl>
</header>

{% if domains.rows or not client_scores.rows %}
<section id="quality">
  <h2>Quality by domain</h2>
  {% if domains.rows %}
  <p class="lead">
    {%- if own_models.rows and domains.judged == ("own models",) %}Each client judged a model of its own; a
      domain has the means of its clients.
    {%- elif domains.judged|length > 1 %}Each domain is judged by the product that most of its clients have.
    {%- elif domains.rows|length > 1 %}All domains are judged by the same product.
    {%- else %}The domain is judged by the product that most of its clients have.{% endif %}</p>
  {{ scores(domains, "Domain", true) }}
  {{ meanings(domains.metrics) }}
  {% else %}
  <p class="lead">No domain has been judged: the true domains are unknown to this run
  {{- "" if finished else " yet" }}.</p>
  {% endif %}
</section>
{% endif %}

{% if own_models.rows or own_models.drop_outs %}
<section id="own-models">
  <h2>Models that stay on clients</h2>
  {% if not own_models.rows %}
  <p class="lead">After round {{ own_models.round }} nothing could be scored. Why
    {{ one(own_models.drop_outs, "client") }} had no scores, evaluations.jsonl says.</p>
  {% else %}
  <p class="lead">What {{ one(own_models.clients, "client") }} found of models of their own after round
    {{ own_models.round }}: over the clients, the mean, the worst, and the spread (standard deviation).
    {% for images, statistic, _ in own_models.rows if statistic == "mean" -%}
    {{ own_models.meanings.get(images, "") }} {% endfor %}
    {%- if own_models.untrained %}Of these clients {{ own_models.untrained|count }} had not trained in any
    round so far, and scored the model that they began with. {% endif %}
    {%- if own_models.drop_outs %}{{ one(own_models.drop_outs, "more client") }} had no scores, and
    evaluations.jsonl says why. {% endif %}Only scores left the clients, and why some have none.</p>
  <div class="scroll"><table class="scores">
    <thead><tr><th class="text">Images</th><th class="text">Over clients</th>
      {% for metric in own_models.metrics %}
      <th>{{ heading(metric) }}</th>
      {% endfor %}
    </tr></thead>
    <tbody>
    {% for images, statistic, values in own_models.rows %}
    <tr>
      <th>{{ images }}</th><td class="text">{{ statistic }}</td>
      {% for metric in own_models.metrics %}
      <td class="{{ "" if metric.detail else "key" }}">{{ values.get(metric.name)|of_metric(metric) }}</td>
      {% endfor %}
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
  {{ meanings(own_models.metrics) }}
  {% endif %}
</section>
{% endif %}

{% if client_scores.rows %}
<section id="client-scores">
  <h2>Scores on clients</h2>
  <p class="lead">What clients found on their own test images, which never leave them: the mean over the
    clients of each product, weighted by their test images.</p>
  {{ scores(client_scores, "Product", false) }}
  {{ meanings(client_scores.metrics) }}
</section>
{% endif %}

{% if samples %}
<section id="samples">
  <h2>Generated images</h2>
  <p class="lead">One row for each label. The strips on the left are earlier rounds of the same rows.</p>
  {% for drawn in samples %}
  <article class="samples">
    <header><h3>{{ product(drawn.product) }}</h3>
      <span class="soft">{{ drawn.domains|join(", ") }}
      {%- if drawn.domains and drawn.clients %} · {% endif %}
      {%- if drawn.clients %}{{ one(drawn.clients, "pool" if figures.pooled else "client") }}{% endif -%}
      </span>
    </header>
    <div class="grids" style="--height: {{ drawn.height }}">
      {% for round, source in drawn.earlier %}
      <figure class="earlier"><img src="{{ source }}"
        alt="{{ drawn.product }} after round {{ round }}">
        <figcaption>{{ "round " if loop.first }}{{ round }}</figcaption></figure>
      {% endfor %}
      <figure class="latest"><img src="{{ drawn.latest }}"
        alt="{{ drawn.product }} after round {{ drawn.latest_round }}">
        <figcaption>round {{ drawn.latest_round }}</figcaption></figure>
    </div>
  </article>
  {% endfor %}
</section>
{% endif %}

{% if charts %}
<section id="curves">
  <h2>Round by round</h2>
  <p class="lead"></p>
  <div class="charts">
    {% for chart in charts %}
    <figure><h3>{{ chart.title }}</h3><img src="{{ chart.source }}" alt="{{ chart.title }} by round"></figure>
    {% endfor %}
  </div>
</section>
{% endif %}

{% if membership.rows %}
<section id="clusters">
  <h2>Clusters through the rounds</h2>
  <p class="lead">Each row is a client, each column a round. Clients that ended in the same cluster are
  together.{{ first_of(membership.rows) }}{% if membership.parted %}
  From round {{ membership.parted }} on clusters had bodies of their own. Who was settled in a cluster then
  stayed in it; whoever else ran its next round on common bodies, and after it joined a cluster for good.
  {% endif %}</p>
  <div class="scroll"><table class="members {{ "many" if membership.rounds|length > 26 }}">
    <thead><tr><th class="text"></th>
    {% for round in membership.rounds %}
      <th><span>{{ round if membership.rounds|length <= 26 or round % 10 == 0 else "" }}</span></th>
    {% endfor %}
    </tr></thead>
    <tbody>
    {% for client, clusters in membership.rows[:most_clients] %}
    <tr><th>client {{ client }}</th>
      {% for cluster in clusters %}
      {% if cluster is none %}<td><span class="none">{{ unknown }}</span></td>
      {% else %}<td><span style="--c: var(--c{{ cluster % light|length }})">{{ cluster }}</span></td>
      {% endif %}
      {% endfor %}
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
</section>
{% endif %}

{% if clients.rows %}
<section id="clients">
  <h2>{{ "Pools" if figures.pooled else "Clients and their cuts" if clients.networks else "Clients" }}</h2>
  <p class="lead">
    {%- if figures.pooled %}A pool has the images of all clients of a domain. {% endif %}
    {%- if solver %}Cuts chosen by the {{ solver }} solver
    {%- if latency is not none %}, which predicts {{ latency|decimal(2) }} s a step{% endif %}. {% endif %}
    {%- if wire %}How numbers cross: {{ wire }}. {% endif %}
    {%- for metric in clients.metrics if metric.meaning %}{{ metric.meaning }} {% endfor %}
    {%- if clients.has("share") %}Share of images:
    {{ "its" if figures.pooled else "the client’s" }} part in all images
    {%- if figures.clusters %} of its cluster{% endif %}
    {%- if clients.metrics %}, which would be its weight in a plain average{% endif %}.{% endif %}
    {{- first_of(clients.rows) }}</p>
  <div class="scroll"><table>
    <thead><tr><th class="text">{{ "Pool" if figures.pooled else "Client" }}</th>
      {% if clients.has("cluster") %}
      <th>Cluster</th>
      {% endif %}
      {% if clients.has("device") %}
      <th class="text">Device</th>
      {% endif %}
      {% if clients.has("samples") %}
      <th>Images</th>
      {% endif %}
      {% if clients.has("share") %}
      <th>Share of<br>images</th>
      {% endif %}
      {% for metric in clients.metrics %}
      <th>{{ heading(metric) }}</th>
      {% endfor %}
      {% if clients.has("sent") %}
      <th>Sent<br>up</th><th>Sent<br>down</th>
      {% endif %}
      {% for network in clients.networks %}
      <th class="text">{{ network|capitalize }}</th>
      {% endfor %}
    </tr></thead>
    <tbody>
    {% for row in clients.rows[:most_clients] %}
    <tr>
      <th>{{ row.client }}</th>
      {% if clients.has("cluster") %}
      <td>{{ chip(row.cluster, row.cluster or 0) }}</td>
      {% endif %}
      {% if clients.has("device") %}
      <td class="text">{{ unknown if row.device is none else row.device }}</td>
      {% endif %}
      {% if clients.has("samples") %}
      <td>{{ row.samples|count }}</td>
      {% endif %}
      {% if clients.has("share") %}
      <td>{{ row.share|percent }}</td>
      {% endif %}
      {% for metric in clients.metrics %}
      <td>{{ row.facts.get(metric.name)|of_metric(metric) }}</td>
      {% endfor %}
      {% if clients.has("sent") %}
      <td>{{ row.sent.get("up")|bytes }}</td><td>{{ row.sent.get("down")|bytes }}</td>
      {% endif %}
      {% for cut in row.cuts %}
      <td class="text">{{ blocks(cut) }}</td>
      {% else %}
      {% for network in clients.networks %}
      <td class="text">{{ unknown }}</td>
      {% endfor %}
      {% endfor %}
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
  {% if clients.networks %}
  <p class="note legend">
    <span><span class="cut"><i class="client"></i></span>on the client</span>
    <span><span class="cut"><i></i></span>on the server</span>
    <span><span class="cut"><i class="middle"></i></span>the middle block, always on the server</span>
  </p>
  {% endif %}
</section>
{% endif %}

{% if cut_changes %}
<section id="cut-changes">
  <h2>Changed cuts</h2>
  <p class="lead">Who was measured to be better off with another cut, and got it from the next round on. The
    last column is how much the client’s generated images changed across the switch: the root mean square of
    the change of its pixels, which are from −1 to 1.</p>
  <div class="scroll"><table>
    <thead><tr><th class="text">After round</th><th>Client</th>
      {% for network in clients.networks %}
      <th class="text">{{ network|capitalize }}</th>
      {% endfor %}
      <th>Images<br>changed by</th></tr></thead>
    <tbody>
    {% for row in cut_changes %}
    <tr>
      <th>{{ row.round }}</th>
      <td>{{ row.client }}</td>
      {% for before, after in row.networks %}
      <td class="text">{{ blocks(before) }} → {{ blocks(after) }}</td>
      {% endfor %}
      <td>{{ row.output_change|decimal(4) }}</td>
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
</section>
{% endif %}

{% if drop_outs %}
{% set in_a_step = drop_outs|rejectattr("step", "none")|list %}
<section id="drop-outs">
  <h2>Drop-outs</h2>
  <p class="lead">Clients that did not take part in a round to its end: what they trained in it is in no
    average.
    {%- if in_a_step %} What they sent in the steps before stays in what the server trains.{% endif %}</p>
  <div class="scroll"><table>
    <thead><tr><th class="text">Round</th><th>Client</th>
      {% if in_a_step %}
      <th>Step</th><th class="text">Exchange</th>
      {% endif %}
      <th class="text">Reason</th></tr></thead>
    <tbody>
    {% for row in drop_outs %}
    <tr>
      <th>{{ row.round }}</th>
      <td>{{ row.client }}</td>
      {% if in_a_step %}
      <td>{{ row.step|count }}</td>
      <td class="text">{{ row.exchange or unknown }}</td>
      {% endif %}
      <td class="text">{{ row.reason }}</td>
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
</section>
{% endif %}

{% if traffic %}
<section id="traffic">
  <h2>Traffic</h2>
  <p class="lead">Everything that crossed between {{ "pools" if figures.pooled else "clients" }} and server in
  {{ one(figures.rounds, "round") }}: {{ figures.up|bytes }} up, {{ figures.down|bytes }} down.
  {% if figures.pooled %}Both are parts of one simulation; what it would cost to bring the images together is
  not in it.{% else %}What several clients of one SuperNode receive in common travels once, and counts for
  the first of them.{% endif %}{% if own_models.rows or client_scores.rows %} What is sent for evaluations
  is not in it.{% endif %}</p>
  <div class="scroll"><table>
    <thead><tr><th class="text">Kind</th><th class="text">Direction</th><th>Total</th><th>A round</th>
      <th>Share</th><th></th></tr></thead>
    <tbody>
    {% for row in traffic %}
    <tr>
      <th>{{ row.kind }}</th>
      <td class="text soft">{{ {"up": "↑ up", "down": "↓ down"}[row.direction] }}</td>
      <td>{{ row.total|bytes }}</td>
      <td>{{ (row.total / figures.rounds)|bytes if figures.rounds else unknown }}</td>
      <td>{{ row.share|percent }}</td>
      <td><span class="bar"><b style="width: {{ "%.2f"|format(100 * row.share) }}%"></b></span></td>
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
</section>
{% endif %}

{% include "privacy" %}
{% if settings %}
<section id="configuration">
  <h2>Configuration</h2>
  <p class="lead"></p>
  <div class="settings">
    {% for title, values in settings %}
    <div><h3>{{ title }}</h3><dl>
      {% for name, value in values %}
      <span><dt>{{ name }}</dt><dd>{{ value|setting }}</dd></span>
      {% endfor %}
    </dl></div>
    {% endfor %}
  </div>
</section>
{% endif %}

<footer>{{ name }} · made by huscf-flwr from the files of the run’s folder
{%- if method %} · method: {{ method }}{% endif %}</footer>
"""
