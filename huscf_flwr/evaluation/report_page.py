"""The report's HTML and CSS, as a Jinja template that escapes every value.

It is a Python string because Flower's app bundle does not carry `.html` files. The page loads nothing:
pictures are data URIs, there is no script, and fonts are the reader's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jinja2 import Environment, StrictUndefined

from huscf_flwr.evaluation import formats
from huscf_flwr.evaluation.figures import DARK, LIGHT


def render_page(values: Mapping[str, object]) -> str:
    """Return the whole page for the sections that `report.py` gives."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        decimal=formats.decimal,
        percent=_unbroken(formats.percent),
        count=formats.count,
        bytes=_unbroken(formats.byte_count),
        duration=_unbroken(formats.duration),
        setting=_setting,
    )
    page = environment.from_string(_PAGE)
    return page.render(values, light=LIGHT, dark=DARK, unknown=formats.UNKNOWN)


def _unbroken(form: Callable[..., str]) -> Callable[..., str]:
    """Keep a number and its unit on one line."""
    return lambda *arguments: form(*arguments).replace(" ", "\u00a0")


def _setting(value: object) -> str:
    if value is None:
        return formats.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or formats.UNKNOWN
    return str(value)


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ name }} · HuSCF-GAN run</title>
<style>
:root {
  --paper: #ffffff; --ink: #16191d; --soft: #626a75; --faint: #858c96; --line: #e3e6ea; --wash: #f6f7f8;
  --on-colour: #ffffff;
{% for colour in light %}
  --c{{ loop.index0 }}: {{ colour }};
{% endfor %}
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --ink: #e9ebee; --soft: #a2aab5; --faint: #858c96; --line: #2a2f36; --wash: #1b1e23;
    --on-colour: #14161a;
{% for colour in dark %}
    --c{{ loop.index0 }}: {{ colour }};
{% endfor %}
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 72px 32px 96px; max-width: 1080px; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
h1 { margin: 0; font-size: 38px; line-height: 1.15; font-weight: 650; letter-spacing: -0.022em;
     overflow-wrap: anywhere; }
h2 { margin: 0 0 6px; font-size: 21px; line-height: 1.3; font-weight: 620; letter-spacing: -0.012em; }
h3 { margin: 0; font-size: 15px; font-weight: 600; }
p { margin: 0; }
section { margin-top: 80px; }
.eyebrow { margin-bottom: 10px; color: var(--soft); font-size: 13px; letter-spacing: 0.02em; }
.lead { max-width: 68ch; margin-bottom: 24px; color: var(--soft); }
.note { margin-top: 14px; color: var(--soft); font-size: 13px; max-width: 76ch; }
.soft { color: var(--soft); }
.state { display: inline-block; margin-top: 16px; padding: 3px 10px; border-radius: 999px; font-size: 13px;
         border: 1px solid var(--c1); color: var(--c1); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 28px 20px;
           margin: 44px 0 0; padding: 28px 0 0; border-top: 1px solid var(--line); }
.figures dt { color: var(--soft); font-size: 13px; }
.figures dd { margin: 2px 0 0; font-size: 24px; line-height: 1.3; font-weight: 500; letter-spacing: -0.015em;
              white-space: nowrap; }
.scroll { overflow-x: auto; margin: 0 -32px; padding: 0 32px; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 10px 0 10px 24px; text-align: right; white-space: nowrap; vertical-align: middle; }
th:first-child, td:first-child { padding-left: 0; }
thead th { padding-top: 0; color: var(--soft); font-size: 12.5px; font-weight: 500; vertical-align: bottom;
           line-height: 1.35; border-bottom: 1px solid var(--line); }
tbody th { font-weight: 500; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
th.text, td.text, tbody th { text-align: left; }
th.text:not(:first-child), td.text { padding-left: 40px; }
.scores td.key { font-size: 20px; letter-spacing: -0.01em; }
.scores td, .scores tbody th { padding-top: 14px; padding-bottom: 14px; }
.dot { display: inline-block; width: 9px; height: 9px; margin-right: 9px; border-radius: 50%;
       background: var(--c); }
.chip { display: inline-block; min-width: 22px; padding: 0 6px; border-radius: 5px; text-align: center;
        font-size: 12px; line-height: 20px; font-weight: 600; background: var(--c); color: var(--on-colour); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr));
          gap: 36px 48px; }
.charts figure { margin: 0; }
.charts h3 { margin-bottom: 8px; }
.charts img { display: block; width: 100%; height: auto; }
.samples { margin-top: 36px; }
.samples header { display: flex; align-items: center; gap: 10px; margin-bottom: 16px; }
.grids { display: flex; gap: 14px; align-items: flex-end; overflow-x: auto; margin: 0 -32px;
         padding: 0 32px 4px; }
.grids figure { flex: none; margin: 0; }
.grids figcaption { margin-top: 8px; color: var(--soft); font-size: 12.5px; text-align: right; }
.grids { --zoom: 0.77; }
.grids img { display: block; height: calc(var(--height) * var(--zoom) * 1px); width: auto; }
.grids .earlier img { width: calc(115px * var(--zoom)); object-fit: cover; object-position: right; }
.grids .latest { margin-left: 6px; }
.members { width: auto; }
.members th, .members td { padding: 1.5px; border: 0 !important; text-align: center; }
.members thead th { padding-bottom: 6px; font-size: 11.5px; min-width: 22px; }
.members tbody th { padding-right: 16px; font-size: 13px; font-weight: 400; color: var(--soft);
                    text-align: left; }
.members td span { display: block; width: 30px; height: 22px; border-radius: 4px; background: var(--c);
                   color: var(--on-colour); font-size: 11.5px; font-weight: 600; line-height: 22px; }
.members td span.none { background: var(--wash); color: var(--faint); }
.members.many td span { width: 11px; height: 16px; border-radius: 2px; font-size: 0; }
.members.many thead th { min-width: 0; }
.members.many thead span { display: flex; width: 11px; justify-content: center; }
.members.many td, .members.many thead th { padding: 1px; }
.cut { display: inline-flex; gap: 3px; vertical-align: middle; }
.cut i { width: 15px; height: 15px; border-radius: 3px; border: 1.5px solid var(--faint); }
.cut i.client { background: var(--ink); border-color: var(--ink); }
.cut i.middle { background: radial-gradient(circle, var(--faint) 0 2.2px, transparent 2.9px); }
.key { white-space: nowrap; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 24px; align-items: center; }
.legend span { display: inline-flex; gap: 8px; align-items: center; }
.bar { display: inline-block; width: 132px; height: 6px; border-radius: 3px; background: var(--wash);
       vertical-align: middle; overflow: hidden; }
.bar b { display: block; height: 100%; border-radius: 3px; background: var(--c0); }
.settings { columns: 3 250px; column-gap: 56px; }
.settings div { break-inside: avoid; margin-bottom: 30px; }
.settings h3 { margin-bottom: 6px; }
.settings dl { margin: 0; font-size: 13px; }
.settings dl > span { display: flex; justify-content: space-between; gap: 16px; padding: 3px 0; }
.settings dt { color: var(--soft); white-space: nowrap; }
.settings dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
footer { margin-top: 88px; padding-top: 20px; border-top: 1px solid var(--line); color: var(--faint);
         font-size: 13px; }
@media (max-width: 640px) {
  body { padding: 40px 20px 64px; }
  h1 { font-size: 30px; }
  section { margin-top: 60px; }
  .scroll, .grids { margin: 0 -20px; padding-left: 20px; padding-right: 20px; }
  .grids { --zoom: 0.58; }
}
@media print {
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 11px; }
  section { margin-top: 36px; }
  tr, figure, .charts img, .samples { break-inside: avoid; }
  .grids { --zoom: 0.56; }
  .scroll, .grids { overflow: visible; margin: 0; padding: 0; }
  h2, .lead, .samples header { break-after: avoid; }
}
</style>
</head>
<body>
{% macro blocks(cut) -%}
<span class="cut" role="img" aria-label="{{ cut.words }}" title="{{ cut.words }}">
  {%- for place in cut.places %}<i class="{{ place }}"></i>{% endfor %}</span>
{%- endmacro %}
{% macro chip(cluster) -%}
{% if cluster is none %}{{ unknown }}{% else -%}
<span class="chip" style="--c: var(--c{{ cluster % light|length }})">{{ cluster }}</span>
{%- endif %}
{%- endmacro %}
{% macro one(number, word) -%}
{{ number|count }} {{ word }}{{ "" if number == 1 else "s" }}
{%- endmacro %}
<header>
  <p class="eyebrow">HuSCF-GAN run</p>
  <h1>{{ name }}</h1>
  {% if not finished %}
  <p class="state">Not finished: what is known after {{ one(figures.rounds, "round") }}</p>
  {% endif %}
  <dl class="figures">
    <div><dt>Rounds</dt><dd>{{ figures.rounds|count }}</dd></div>
    <div><dt>Clients</dt><dd>{{ figures.clients|count }}</dd></div>
    <div><dt>Clusters</dt><dd>{{ figures.clusters|count }}</dd></div>
    <div><dt>Adjusted Rand</dt><dd>{{ figures.ari|decimal(2) }}</dd></div>
    <div><dt>Time</dt><dd>{{ figures.seconds|duration }}</dd></div>
    <div><dt>Sent up</dt><dd>{{ figures.up|bytes }}</dd></div>
    <div><dt>Sent down</dt><dd>{{ figures.down|bytes }}</dd></div>
  </dl>
</header>

<section id="quality">
  <h2>Quality by domain</h2>
  {% if domains %}
  <p class="lead">Each domain is judged by the generator of the cluster that holds most of its clients.</p>
  <div class="scroll"><table class="scores">
    <thead><tr>
      <th class="text">Domain</th><th>Cluster</th><th>Label<br>fidelity</th><th>TSTR<br>accuracy</th>
      <th>Generation<br>score</th><th>FID</th><th>TSTR<br>precision</th><th>TSTR<br>recall</th>
      <th>TSTR<br>F1</th><th>TSTR<br>FPR</th>
    </tr></thead>
    <tbody>
    {% for domain, scores in domains.items() %}
    <tr>
      <th><span class="dot" style="--c: var(--c{{ loop.index0 % light|length }})"></span>{{ domain }}</th>
      <td>{{ chip(scores.get("cluster")) }}</td>
      <td class="key">{{ scores.get("label_fidelity")|decimal }}</td>
      <td class="key">{{ scores.get("tstr_accuracy")|decimal }}</td>
      <td class="key">{{ scores.get("generation_score")|decimal(2) }}</td>
      <td class="key">{{ scores.get("fid")|decimal(1) }}</td>
      <td>{{ scores.get("tstr_precision")|decimal }}</td>
      <td>{{ scores.get("tstr_recall")|decimal }}</td>
      <td>{{ scores.get("tstr_f1")|decimal }}</td>
      <td>{{ scores.get("tstr_fpr")|decimal }}</td>
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
  <p class="note">Label fidelity: share of generated images that a judge, trained on real training images,
  takes for the label asked for. TSTR: a classifier trained on synthetic and tested on real images.
  Generation score: 1 at worst, the number of classes at best. FID: Fréchet distance between the judge’s
  features of generated and of real images; comparable within a domain only.</p>
  {% else %}
  <p class="lead">No domain has been judged: nobody who knows the true domains has looked at this run
  {{- "" if finished else " yet" }}.</p>
  {% endif %}
</section>

{% if samples %}
<section id="samples">
  <h2>Generated images</h2>
  <p class="lead">One row for each label. The strips on the left are earlier rounds of the same rows.</p>
  {% for cluster in samples %}
  <article class="samples">
    <header>{{ chip(cluster.cluster) }}
      <h3>Cluster {{ cluster.cluster }}</h3>
      <span class="soft">{% if cluster.domains %}{{ cluster.domains|join(", ") }} · {% endif %}
      {{- one(cluster.clients, "client") }}</span>
    </header>
    <div class="grids" style="--height: {{ cluster.height }}">
      {% for round, source in cluster.earlier %}
      <figure class="earlier"><img src="{{ source }}"
        alt="Cluster {{ cluster.cluster }} after round {{ round }}">
        <figcaption>{{ "round " if loop.first }}{{ round }}</figcaption></figure>
      {% endfor %}
      <figure class="latest"><img src="{{ cluster.latest }}"
        alt="Cluster {{ cluster.cluster }} after round {{ cluster.latest_round }}">
        <figcaption>round {{ cluster.latest_round }}</figcaption></figure>
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
  together.{% if membership.parted %}
  From round {{ membership.parted }} on each cluster had bodies of its own, and its clients stayed in it.
  {% endif %}</p>
  <div class="scroll"><table class="members {{ "many" if membership.rounds|length > 26 }}">
    <thead><tr><th class="text"></th>
    {% for round in membership.rounds %}
      <th><span>{{ round if membership.rounds|length <= 26 or round % 10 == 0 else "" }}</span></th>
    {% endfor %}
    </tr></thead>
    <tbody>
    {% for client, clusters in membership.rows %}
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

{% if clients %}
<section id="clients">
  <h2>Clients and their cuts</h2>
  <p class="lead">
    {%- if solver %}Cuts chosen by the {{ solver }} solver
    {%- if latency is not none %}, which predicts {{ latency|decimal(2) }} s a step{% endif %}.{% endif %}
    The weight is the client’s part in its cluster’s average; its share of the images is what plain
    averaging would give it.</p>
  <div class="scroll"><table>
    <thead><tr><th class="text">Client</th><th>Cluster</th><th class="text">Device</th><th>Images</th>
      <th>Share of<br>images</th><th>Weight</th><th>Divergence</th>
      <th class="text">Generator</th><th class="text">Discriminator</th></tr></thead>
    <tbody>
    {% for row in clients %}
    <tr>
      <th>{{ row.client }}</th>
      <td>{{ chip(row.cluster) }}</td>
      <td class="text">{{ unknown if row.device is none else row.device }}</td>
      <td>{{ row.samples|count }}</td>
      <td>{{ row.share|percent }}</td>
      <td>{{ row.weight|percent }}</td>
      <td>{{ row.divergence|decimal(4) }}</td>
      {% for cut in row.cuts %}
      <td class="text">{{ blocks(cut) }}</td>
      {% else %}
      <td class="text">{{ unknown }}</td><td class="text">{{ unknown }}</td>
      {% endfor %}
    </tr>
    {% endfor %}
    </tbody>
  </table></div>
  <p class="note legend">
    <span><span class="cut"><i class="client"></i></span>on the client</span>
    <span><span class="cut"><i></i></span>on the server</span>
    <span><span class="cut"><i class="middle"></i></span>the middle block, always on the server</span>
  </p>
</section>
{% endif %}

{% if cut_changes %}
<section id="cut-changes">
  <h2>Changed cuts</h2>
  <p class="lead">Who was measured to be better off with another cut, and got it from the next round on. The
    last column is how much the client’s generated images changed across the switch: the root mean square of
    the change of its pixels, which are from −1 to 1.</p>
  <div class="scroll"><table>
    <thead><tr><th>After round</th><th>Client</th><th class="text">Generator</th>
      <th class="text">Discriminator</th><th>Images<br>changed by</th></tr></thead>
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
<section id="drop-outs">
  <h2>Drop-outs</h2>
  <p class="lead">Clients that did not take part in a round to its end. What they sent before stays in the
    bodies; their own blocks of that round are in no average.</p>
  <div class="scroll"><table>
    <thead><tr><th>Round</th><th>Client</th><th>Step</th><th class="text">Exchange</th>
      <th class="text">Reason</th></tr></thead>
    <tbody>
    {% for row in drop_outs %}
    <tr>
      <th>{{ row.round }}</th>
      <td>{{ row.client }}</td>
      <td>{{ row.step|count }}</td>
      <td class="text">{{ row.exchange }}</td>
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
  <p class="lead">Everything that crossed between clients and server in
  {{ one(figures.rounds, "round") }}: {{ figures.up|bytes }} up, {{ figures.down|bytes }} down.</p>
  <div class="scroll"><table>
    <thead><tr><th class="text">Kind</th><th class="text">Direction</th><th>Total</th><th>A round</th>
      <th>Share</th><th></th></tr></thead>
    <tbody>
    {% for row in traffic %}
    <tr>
      <th>{{ row.kind }}</th>
      <td class="text soft">{{ {"up": "↑ up", "down": "↓ down"}.get(row.direction, "↑↓ both") }}</td>
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

<footer>{{ name }} · made by huscf-flwr from the files of the run’s folder · method: HuSCF-GAN,
arXiv 2507.12979</footer>
</body>
</html>
"""
