/* The view to turn: surfaces coloured by a field that moves through its times. */
(function () {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const [vessel, field, time, play, clock] =
    ["vessel", "field", "time", "play", "clock"].map(byId);
  const MILLISECONDS = 180;

  /* Numbers in base 64, row after row. */
  function numbers(text, Kind = Float32Array) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Kind(bytes.buffer);
  }
  function rows(values, start, columns, count) {
    return Array.from({ length: count }, (_, i) =>
      values.subarray(start + i * columns, start + (i + 1) * columns));
  }
  /* A surface is a grid of rows and columns, or has triangles. */
  const surfaces = data.surfaces.map((surface) => {
    const { on, points } = surface;
    const [x, y, z] = ["x", "y", "z"].map((name) => numbers(surface[name]));
    if (points) {
      const [i, j, k] = ["i", "j", "k"].map((name) => numbers(surface[name], Int32Array));
      return { on, points, shape: { type: "mesh3d", x, y, z, i, j, k } };
    }
    const grid = (values) => rows(values, 0, surface.columns, surface.rows);
    return { on, rows: surface.rows, columns: surface.columns,
      points: surface.rows * surface.columns,
      shape: { type: "surface", x: grid(x), y: grid(y), z: grid(z) } };
  });
  for (const shown of data.fields) {
    shown.values = shown.values.map((text) => text && numbers(text));
  }

  function trace(surface, number, shown, step) {
    const common = { ...surface.shape, uid: String(number), hoverinfo: "skip",
      lighting: { ambient: 0.75, diffuse: 0.45, specular: 0.05, roughness: 0.9 } };
    const mesh = surface.shape.type === "mesh3d";
    const coloured = (values, start) => mesh
      ? { intensity: values.subarray(start, start + surface.points) }
      : { surfacecolor: rows(values, start, surface.columns, surface.rows) };
    if (surface.on !== shown.on) {
      /* The wall stays as glass round the cuts; the cuts are hidden behind the wall. */
      return { ...common, visible: surface.on === "wall", opacity: 0.13, showscale: false,
        ...coloured(new Float32Array(surface.points), 0),
        cmin: 0, cmax: 1, colorscale: [[0, "#7d90a3"], [1, "#7d90a3"]] };
    }
    const value = mesh ? "intensity" : "surfacecolor";
    return { ...common, visible: true, opacity: 1, hoverinfo: "text",
      hovertemplate: `%{${value}:.3g} ${shown.unit}<extra></extra>`,
      ...coloured(shown.values[number], step * surface.points),
      cmin: shown.limits[0], cmax: shown.limits[1], colorscale: shown.colours,
      showscale: number === shown.first,
      colorbar: { title: { text: `${shown.name}<br>(${shown.unit})` }, thickness: 16, len: 0.75 } };
  }

  /* All directions have one scale: in a tube numbers along it are enough. */
  const axis = (name) => ({ showticklabels: data.along.includes(name), showspikes: false,
    range: data.ranges[name],
    title: { text: data.along.includes(name) ? `${name} (${data.length})` : "" },
    backgroundcolor: "#fff", gridcolor: "#e3e8ed", zeroline: false });
  const layout = {
    uirevision: "keep", margin: { l: 0, r: 0, t: 0, b: 0 },
    font: { family: "system-ui, Arial, sans-serif", size: 13, color: "#1d2733" },
    scene: { aspectmode: "manual", aspectratio: data.sizes, dragmode: "orbit", xaxis: axis("x"), yaxis: axis("y"), zaxis: axis("z"),
      camera: { eye: data.eye, up: data.up } },
  };

  function draw() {
    const step = Number(time.value);
    const shown = data.fields[field.selectedIndex];
    const seconds = data.times[step];
    const share = ((seconds - data.began) / data.duration).toFixed(2);
    clock.textContent = data.span && `t = ${seconds.toPrecision(3)} s, ${share} of the ${data.span}`;
    return Plotly.react(vessel, surfaces.map((s, i) => trace(s, i, shown, step)), layout,
      { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["resetCameraLastSave3d"] });
  }

  let timer = null;
  function toggle() {
    if (timer === null) {
      timer = setInterval(() => {
        time.value = (Number(time.value) + 1) % data.times.length;
        draw();
      }, MILLISECONDS);
    } else {
      clearInterval(timer);
      timer = null;
    }
    play.textContent = timer === null ? "Play" : "Pause";
  }

  for (const shown of data.fields) field.add(new Option(shown.title));
  time.max = data.times.length - 1;
  time.value = data.start;
  /* A steady flow, or one time, has no cycle to move through. */
  play.hidden = time.hidden = data.times.length < 2;
  field.addEventListener("change", draw);
  time.addEventListener("input", draw);
  play.addEventListener("click", toggle);
  draw().then(() => { vessel.dataset.drawn = "yes"; });
})();
