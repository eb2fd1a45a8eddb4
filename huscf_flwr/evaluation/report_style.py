"""The report's CSS, as a Jinja template that takes the colours of a light and a dark page."""

STYLE = """\
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
.note + h3, .scroll + h3 { margin: 36px 0 16px; }
.soft { color: var(--soft); }
.state { display: inline-block; margin-top: 16px; padding: 3px 10px; border-radius: 999px; font-size: 13px;
         border: 1px solid var(--c1); color: var(--c1); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(122px, 1fr)); gap: 28px 20px;
           align-items: end; margin: 44px 0 0; padding: 28px 0 0; border-top: 1px solid var(--line); }
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
"""
