"""A page of the report in a browser without a window."""

import base64
import json
import re
import subprocess

import numpy as np
import pyvista as pv

# Browsers tell of what goes wrong; then every field, a time and the button are tried.
WATCH = """<script>
const seen = { errors: [], loaded: [], fields: [], clocks: [] };
addEventListener("error", (e) => seen.errors.push(String(e.message)));
addEventListener("unhandledrejection", (e) => seen.errors.push(String(e.reason)));
addEventListener("securitypolicyviolation", (e) => seen.errors.push(e.blockedURI));
console.error = console.warn = (...words) => seen.errors.push(words.join(" "));
</script>"""
DRIVE = """<script>
async function drive() {
  const [vessel, field, time, play, clock] =
    ["vessel", "field", "time", "play", "clock"].map((id) => document.getElementById(id));
  for (let i = field.options.length - 1; i >= 0; i--) {
    field.selectedIndex = i;
    field.dispatchEvent(new Event("change"));
    const shown = vessel.data.filter((trace) => trace.opacity === 1);
    const values = shown.flatMap((trace) => trace.type === "mesh3d"
      ? [...trace.intensity] : trace.surfacecolor.flatMap((row) => [...row]));
    seen.fields.push([field.value, Math.min(...values), Math.max(...values)]);
  }
  seen.clocks.push(clock.textContent);
  time.value = (Number(time.value) + 1) % (Number(time.max) + 1);
  time.dispatchEvent(new Event("input"));
  seen.clocks.push(clock.textContent);
  play.click();
  await new Promise((after) => setTimeout(after, 250));
  play.click();
  seen.clocks.push(clock.textContent);
  seen.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  document.body.replaceChildren(vessel);
}
drive().catch((e) => seen.errors.push(String(e))).then(
  () => console.log("SEEN " + btoa(unescape(encodeURIComponent(JSON.stringify(seen))))));
</script>"""


def check_page(page, folder, coloured):
    """Open a page in a folder, try every field of its view, and look at it.

    Nothing may go wrong or be loaded, and more than a share of the last picture must be coloured.
    """
    watched = folder / "watched.html"
    watched.write_text(
        page.replace("<title>", WATCH + "<title>", 1).replace("</body>", DRIVE + "</body>")
    )
    run = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--enable-logging=stderr"),
            # WebGL without a graphics card.
            *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
            *("--window-size=1000,600", "--virtual-time-budget=3000"),
            *(f"--user-data-dir={folder / 'profile'}", f"--screenshot={folder / 'page.png'}"),
            watched.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=200,
    )
    found = re.search(r"SEEN ([\w+/=]+)", run.stderr)
    assert found, run.stderr
    seen = json.loads(base64.b64decode(found[1]))
    assert seen["errors"] == []
    assert all(name.startswith(("data:", "blob:")) for name in seen["loaded"])
    assert "Content Security Policy" not in run.stderr
    assert len({name for name, _, _ in seen["fields"]}) == 9
    assert all(low < high for _, low, high in seen["fields"])
    assert len(set(seen["clocks"])) == 3
    # The last picture: the wall, beside its colour bar.
    picture = pv.read(folder / "page.png")
    pixels = np.asarray(picture.point_data.active_scalars).reshape(600, 1000, -1)[:, :750, :3]
    assert (pixels.max(axis=-1).astype(int) - pixels.min(axis=-1) > 40).mean() > coloured
