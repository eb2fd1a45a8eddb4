"""The section of the report's page about an audit, as a Jinja template."""

PRIVACY_SECTION = """\
{% if privacy %}
<section id="privacy">
  <h2>What the server sees</h2>
  {% if privacy.guarantee %}
  <p class="lead">Up to round {{ privacy.round }}: {{ privacy.guarantee }}.</p>
  {% else %}
  <p class="lead">Attacks on what crossed in round {{ privacy.round }}, by a server that follows the protocol
    and is curious{% if privacy.defence not in ("none", "as trained", "as configured") %}, with the defence
    {{ privacy.defence }}{% endif %}.
    {% if privacy.cuts|selectattr("picture")|list %}True images, and below them what the best attack made
    of what the server saw.{% endif %}
    Nothing here has a formal guarantee.</p>
  {% endif %}
  {% for sentence in privacy.verdict %}
  <p>{{ sentence[0]|upper }}{{ sentence[1:] }}.</p>
  {% endfor %}
  {% for sentence in privacy.ceilings %}
  <p>Ceiling: {{ sentence }}.</p>
  {% endfor %}
  {% for cut in privacy.cuts %}
  <article class="samples">
    <header><h3>cut {{ cut.name }}</h3>
      <span class="soft">{{ cut.clients }} client{{ "" if cut.clients == 1 else "s" }} attacked</span>
    </header>
    {% if cut.failed %}
    <p>The attacks have less here than one that works: this proves nothing, and better ones may get more.</p>
    {% endif %}
    {% if cut.picture %}
    <div class="scroll"><img src="{{ cut.picture }}"
      alt="true and reconstructed images, cut {{ cut.name }}"></div>
    {% endif %}
    {% if not cut.activations_cross %}
    <p>No activation of a real image is in what crosses, so there is none to attack.</p>
    {% elif not cut.sees_images %}
    <p>No attack was made on images.</p>
    {% else %}
    <div class="scroll"><table>
      <thead><tr><th>Step</th><th class="text">Best attack</th><th>Images, dB</th>
        <th>Their mean image, dB</th><th>SSIM</th><th>Labels right</th>
        <th>An attack that works, dB</th></tr></thead>
      <tbody>
      {% for step in cut.steps %}
      <tr><td>{{ step.number }}</td><td class="text">{{ step.attack }}</td><td>{{ step.psnr|decimal(1) }}</td>
        <td>{{ cut.mean_image|decimal(1) }}</td><td>{{ step.ssim|decimal(2) }}</td>
        <td>{{ step.labels|percent }}</td>
        <td>{% if step.floor is none %}not known{% else %}{{ step.floor|decimal(0) }} or more
          {%- endif %}{% if step.failed_on %}; failed on {{ step.failed_on }}{% endif %}</td></tr>
      {% endfor %}
      </tbody>
    </table></div>
    {% endif %}
    {% for what, had in [("labels of a batch", cut.labels), ("set of labels", cut.label_set)] if had %}
    <p>{{ what|capitalize }}: {{ had.value|percent }} of client {{ had.client }}, where guessing has
      {{ had.chance|percent }}{% if had.below %}; below the floor of an attack that works, which proves
      nothing{% endif %}.</p>
    {% endfor %}
  </article>
  {% endfor %}
  {% if privacy.learnt %}
  <h3>What is learnt of clients</h3>
  <div class="scroll"><table>
    <thead><tr><th class="text">Attack</th><th class="text">Who</th><th class="text">Learns</th>
      <th class="text">Measure</th><th>Found</th><th>Knowing nothing</th></tr></thead>
    <tbody>
    {% for each in privacy.learnt %}
    <tr><td class="text">{{ each.attack }}</td>
      {% if each.value is none %}
      <td class="text">—</td><td class="text">{{ each.learns }}</td>
      <td class="text">{{ each.without_number }}</td>
      {% else %}
      <td class="text">{{ each.adversary }}</td><td class="text">{{ each.learns }}</td>
      <td class="text">{{ each.measure }}{% if each.failure %};
        {{ each.failure }}{% endif %}{% for why in each.nothing %};
        {{ why }}{% endfor %}</td>
      {% endif %}
      {% set off = "off by " if each.less_is_worse and each.value is not none else "" %}
      <td>{{ off }}{{ each.value|decimal(3) }}</td><td>{{ off }}{{ each.chance|decimal(3) }}</td></tr>
    {% endfor %}
    </tbody>
  </table></div>
  {% endif %}
</section>
{% endif %}
"""
