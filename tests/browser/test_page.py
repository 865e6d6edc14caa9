"""The page in a real browser: every feature, the keyboard, crashes, links, and what must not happen."""

import base64
import io
import json
import os
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rationale.fetching import is_at_hand
from rationale.model import Model
from tests.browser.install import AXE
from tests.conftest import needs
from tests.visualizer.server import Served, served, until

Open = Callable[..., Any]
SIZES = [(1440, 900), (1024, 768), (390, 844)]
ALBUM = [("flight", 1440), ("mnist", 1024), ("mnist", 390)]  # what docs/visualizer.md shows


def text(page: Any, selector: str) -> str:
    return page.locator(selector).first.inner_text()


def holds(page: Any, script: str, seconds: float = 60) -> None:
    """Waits until an expression is true; Playwright's own way to wait wants eval, which the page's policy forbids."""
    until(lambda: page.evaluate(script), seconds)


def tells(page: Any, selector: str, words: str) -> None:
    """Waits until an element's text holds some words: the page draws what has changed in the browser's next frame."""
    until(lambda: words in text(page, selector))


def links(page: Any, words: str, *, lost: bool = False) -> None:
    """Waits until the address holds some words, or until they are `lost`."""
    until(
        lambda: (words in page.evaluate("location.href")) != lost
    )  # page.url waits for events that nobody handles here


def painted(page: Any, selector: str) -> float:
    """How much the colours of a canvas differ; 0 for an empty one."""
    script = """canvas => { const d = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      let low = 255, high = 0; for (let i = 0; i < d.length; i += 4) for (let c = 0; c < 3; c++) {
      low = Math.min(low, d[i + c]); high = Math.max(high, d[i + c]); } return high - low; }"""
    return page.locator(selector).first.evaluate(script)


def canvas(page: Any, selector: str) -> str:
    return page.locator(selector).first.evaluate("canvas => canvas.toDataURL()")


def changes(page: Any, selector: str) -> None:
    """Waits until a canvas shows something else."""
    before = canvas(page, selector)
    until(lambda: canvas(page, selector) != before)


def rests(page: Any, selector: str) -> bool:
    """Whether a canvas shows the same for a second."""
    before = canvas(page, selector)
    page.wait_for_timeout(1000)
    return canvas(page, selector) == before


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def photograph(height: int, width: int) -> bytes:
    random = np.random.default_rng(3)
    coarse = random.integers(0, 255, (6, 8, 3), np.uint8)
    return png(np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)))


def turn_to_flight(page: Any) -> None:
    """Chooses the model, which shows an example of its own where its data set is at hand; elsewhere it is given one."""
    page.get_by_label("Model").select_option("flight")
    if not is_at_hand("flight"):
        holds(page, "document.querySelector('#message').textContent.startsWith('Drop a picture')")
        page.locator("input[type=file]").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": photograph(90, 200)}
        )
    holds(page, "document.querySelector('#decision .label')?.textContent.match(/airliner|small/)")


# ---- what is seen ----------------------------------------------------------------------------------------------------


def test_the_first_look_has_everything(opened: Open) -> None:
    page = opened("example=7")
    tells(page, "#decision .label", "7")
    tells(page, "#decision .probability", "%")
    until(lambda: painted(page, ".over") > 100)
    for selector, count in ((".strip button", 12), ("#network button", 8)):
        until(lambda selector=selector, count=count: page.locator(selector).count() == count)
    until(lambda: page.locator(".tile").count() > 10)
    tells(page, ".equation", "f(x) =")
    until(lambda: text(page, ".ends span >> nth=0").startswith("−"))
    middle, bar = (page.locator(each).bounding_box() for each in (".ends span >> nth=1", ".ramp"))
    assert abs(middle["x"] + middle["width"] / 2 - bar["x"] - bar["width"] / 2) < 3  # under the bar's white


def test_a_click_on_a_class_explains_it_and_vs_contrasts(opened: Open) -> None:
    page = opened("example=7")
    before = canvas(page, ".over")
    page.get_by_title("Explain 3:", exact=False).click()
    holds(page, "document.querySelector('.caption').textContent.includes('speaks for 3')")
    until(lambda: canvas(page, ".over") != before)
    page.get_by_title("Why 3 rather than 7?").click()
    holds(page, "document.querySelector('.caption').textContent.includes('3 rather than 7')")
    links(page, "target=3")
    links(page, "against=7")
    difference = "f(x) − f′(x)"  # whose shares all numbers are now
    until(lambda: text(page, ".equation").startswith(difference))
    tells(page, ".ends", difference)
    page.locator(".tile").first.click()
    holds(page, f"document.querySelector('#channel .numbers').textContent.includes('{difference}')")
    holds(page, f"document.querySelectorAll('#channel .pane')[2].textContent.includes('{difference}')")
    page.get_by_role("tab", name="Account").click()
    holds(page, f"document.querySelector('#account .hint').textContent.includes('{difference}')")


def test_opacity_sign_and_colours_change_what_is_drawn(opened: Open) -> None:
    page = opened("example=7")
    before = canvas(page, ".seen")
    page.get_by_label("Opacity").fill("0.2")
    until(lambda: canvas(page, ".seen") != before)
    over = canvas(page, ".over")
    page.get_by_label("Which sign counts").select_option("for")
    until(lambda: canvas(page, ".over") != over)
    page.get_by_text("Display").click()
    for label, choice in (("Colours", "orange-purple"), ("Composite", "epsilon")):
        over = canvas(page, ".over")
        page.get_by_label(label, exact=True).select_option(choice)
        until(lambda over=over: canvas(page, ".over") != over)
    for label, value in (("Gamma", "0.5"), ("Boost", "5")):
        over = canvas(page, ".over")
        page.get_by_label(label, exact=True).fill(value)
        until(lambda over=over: canvas(page, ".over") != over)
    page.get_by_text("numbers under tiles").click()
    page.locator(".tile .text").first.wait_for(state="hidden")


def test_layers_tiles_and_the_chosen_channel(opened: Open) -> None:
    page = opened("example=7")
    page.get_by_role("button", name="conv1, Convolution").click()
    holds(page, "document.querySelectorAll('.tile:not([hidden])').length <= 20")
    tells(page, "#network .caption", "20 channels, each 24 × 24 places")
    numbers = [
        abs(float(each.replace("−", "-"))) for each in page.locator(".tile:not([hidden]) .value").all_inner_texts()
    ]
    assert numbers == sorted(numbers, reverse=True)
    page.get_by_label("Order of the channels").select_option("number")
    holds(page, "document.querySelector('.tile .unit').textContent === '#0'")
    page.locator(".tile").nth(3).click()
    holds(page, "document.querySelector('#channel .numbers').textContent.includes('% of f(x)')")
    until(lambda: painted(page, "#channel .pane >> nth=2 >> canvas") > 50)
    for title in ("Channel's own map", "Through channel", "Backward"):
        over = canvas(page, ".over")
        name = {"Channel's own map": "Channel"}.get(title, title)
        page.locator("#stage .segments").get_by_text(name, exact=True).click()
        until(lambda over=over: canvas(page, ".over") != over)


def test_activation_relevance_or_both(opened: Open) -> None:
    page = opened("example=7&layer=conv2")
    for show, shown in (("Activation", 1), ("Relevance", 1), ("Both", 2)):
        page.locator("#tiles .segments").get_by_text(show, exact=True).click()
        until(lambda shown=shown: page.locator(".tile >> nth=0 >> .map:visible").count() == shown)
        until(lambda: maps(page)["painted"])
        told = "fires" if show == "Activation" else "for"  # the bar tells what the number tells
        page.locator(f".tile >> nth=0 >> .bar span.{told}").wait_for(state="attached")


MAPS = """() => { const sheet = document.querySelector('#tiles .drawn'), at = sheet.getBoundingClientRect();
  const scale = sheet.width / at.width, context = sheet.getContext('2d'), view = document.querySelector('.rolls').getBoundingClientRect();
  const seen = [...document.querySelectorAll('.tile:not([hidden]) .map')].filter(e => e.offsetParent).map(e => e.getBoundingClientRect())
    .filter(b => b.top >= view.top && b.bottom <= view.bottom);
  const colours = seen.map(b => [...context.getImageData(Math.round((b.left - at.left) * scale), Math.round((b.top - at.top) * scale),
    Math.floor(b.width * scale), Math.floor(b.height * scale)).data]);
  const edge = seen.length ? context.getImageData(Math.round((seen[0].left - at.left) * scale) - 3, Math.round((seen[0].top - at.top) * scale) + 9, 1, 1).data[3] : 255;
  return { count: seen.length, edge, painted: seen.length > 3 && colours.every(d => d.every((value, i) => i % 4 < 3 || value === 255)),
    different: new Set(colours.map(d => d.join())).size }; }"""


def maps(page: Any) -> dict[str, Any]:
    """What is drawn on the tiles that are seen whole: whether everywhere, how many differ, whether beside them too."""
    return page.evaluate(MAPS)


def lie_on_their_tiles(found: dict[str, Any]) -> bool:
    """Maps fill their tiles, nothing is beside them, and they differ as channels do."""
    return found["painted"] and found["edge"] == 0 and found["different"] > 0.8 * found["count"]


@pytest.mark.parametrize("scale", [1, 2])
def test_every_tile_that_is_seen_shows_its_own_maps(opened: Open, scale: int) -> None:
    """All maps lie on one canvas: wherever one scrolls, in whatever size of window, they must lie on their tiles."""
    page = opened("example=7&layer=conv2&sort=number", device_scale_factor=scale)
    for size, scrolled in (((1440, 900), 0), ((1440, 900), 900), ((1100, 700), 300), ((390, 844), 500)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.locator(".rolls").evaluate("(element, top) => { element.scrollTop = top; }", scrolled)
        until(lambda: lie_on_their_tiles(maps(page)))
    page.get_by_text("Display").click()
    page.get_by_text("numbers under tiles").click()  # tiles move up
    until(lambda: maps(page)["painted"])


@pytest.mark.parametrize("method", ["gradient", "gradient-input", "deconvolution", "guided", "relevance"])
def test_every_backward_view_is_drawn(opened: Open, method: str) -> None:
    page = opened("example=7&layer=conv2&channel=8")
    page.get_by_label("How to look backward").select_option(method)
    words = {"gradient-input": "gradient × input", "deconvolution": "deconvnet", "relevance": "LRP"}.get(method, method)
    holds(page, f"document.querySelector('#channel > .pane .caption').textContent.includes('{words}')")
    until(lambda: painted(page, "#channel > .pane canvas") > 50)


def test_the_account_closes(opened: Open) -> None:
    page = opened("example=7&tab=account")
    page.wait_for_selector(".ledger tbody tr")
    first, *_, last = page.locator(".ledger tbody tr:not([hidden])").all()
    cells = [float(each.replace("−", "-").replace("≈ ", "")) for each in first.locator("td").all_inner_texts()]
    assert cells[0] == pytest.approx(cells[1] + cells[2], abs=0.05 * abs(cells[0]))
    last.get_by_role("button").click()
    links(page, "layer=conv1")


def test_a_link_reproduces_the_view(opened: Open) -> None:
    page = opened("model=mnist&example=4&layer=conv1&channel=2&target=9&opacity=0.4&map=orange-purple&sort=number")
    holds(page, "document.querySelector('#channel .numbers').textContent.includes('%')")
    other = opened(page.url.split("#")[1])
    holds(other, "document.querySelector('#channel .numbers').textContent.includes('%')")
    for selector in (".seen", ".over", "#channel .pane canvas"):
        until(lambda selector=selector: canvas(page, selector) == canvas(other, selector))


def test_nonsense_in_the_address_is_left_out(opened: Open) -> None:
    page = opened("example=99&layer=nothing&target=77&stage=moon&opacity=NaN&method=magic&model=mnist")
    until(lambda: text(page, "#decision .label"))


# ---- inputs ----------------------------------------------------------------------------------------------------------


def test_photographs_by_dialogue_drop_and_paste(opened: Open) -> None:
    page = opened("model=flight&source=photograph")
    seen = canvas(page, ".seen")
    page.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": photograph(90, 200)}
    )
    until(lambda: canvas(page, ".seen") != seen)
    for event in ("drop", "paste"):
        seen = canvas(page, ".seen")
        page.evaluate(
            """([kind, content]) => { const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
            const transfer = new DataTransfer(); transfer.items.add(new File([bytes], 'b.png', {type: 'image/png'}));
            dispatchEvent(kind === 'drop' ? new DragEvent('drop', {dataTransfer: transfer})
              : new ClipboardEvent('paste', {clipboardData: transfer})); }""",
            [event, base64.b64encode(photograph(120 if event == "drop" else 60, 100)).decode()],
        )
        until(lambda seen=seen: canvas(page, ".seen") != seen)


def test_a_broken_upload_is_one_line_and_the_page_goes_on(opened: Open) -> None:
    page = opened("example=7")
    page.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    holds(page, "document.querySelector('#message').textContent.includes('no picture')")
    page.locator(".strip button").nth(2).click()
    holds(page, "document.querySelector('#decision .label').textContent === '2'")
    holds(page, "document.querySelector('#message').textContent === ''")


def test_the_camera_moves_freezes_and_mirrors(opened: Open) -> None:
    page = opened("model=flight")
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Freeze", exact=True).wait_for()
    changes(page, ".seen")
    changes(page, ".over")
    page.get_by_role("button", name="Freeze", exact=True).click()
    until(lambda: rests(page, ".seen"))  # what is under way still arrives
    page.locator(".tile").first.click()
    holds(page, "document.querySelector('#channel .numbers').textContent.includes('%')")
    page.get_by_role("button", name="Freeze", exact=True).click()
    changes(page, ".seen")


def test_mirror_exchanges_left_and_right(opened: Open) -> None:
    page = opened("example=7")
    until(lambda: painted(page, ".seen") > 0)
    script = """canvas => { const d = canvas.getContext('2d').getImageData(0, 0, 28, 28).data;
      return Array.from({length: 784}, (_, i) => d[4 * i]); }"""
    with_heatmap = canvas(page, ".seen")
    page.get_by_label("Opacity").fill("0")
    until(lambda: canvas(page, ".seen") != with_heatmap)
    before = np.reshape(page.locator(".seen").evaluate(script), (28, 28)).astype(float)
    plain = canvas(page, ".seen")
    page.get_by_role("button", name="Mirror").click()
    until(lambda: canvas(page, ".seen") != plain)
    after = np.reshape(page.locator(".seen").evaluate(script), (28, 28)).astype(float)
    assert np.abs(after[:, ::-1] - before).mean() < 6 < np.abs(after - before).mean()


def test_the_explanation_follows_the_stroke(opened: Open) -> None:
    page = opened("model=mnist")
    page.get_by_role("button", name="Draw").click()
    page.get_by_role("button", name="Clear").wait_for()
    page.wait_for_timeout(500)
    box = page.locator("#stage .picture").bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + side * 0.5, y + side * 0.2)
    page.mouse.down()
    for step in range(20):
        page.mouse.move(x + side * (0.5 - 0.002 * step), y + side * (0.2 + 0.03 * step))
    page.mouse.up()
    holds(page, "document.querySelector('#decision .label').textContent === '1'")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_timeout(500)
    turn_to_flight(page)
    page.get_by_role("button", name="Draw").wait_for(state="hidden")


RECORD = """async () => { const canvas = document.createElement('canvas'); canvas.width = 288; canvas.height = 144;
  const context = canvas.getContext('2d'); const stream = canvas.captureStream(25);
  const recorder = new MediaRecorder(stream, {mimeType: 'video/webm;codecs=vp8'}); const parts = [];
  recorder.ondataavailable = event => parts.push(event.data); recorder.start();
  for (let step = 0; step < 40; step += 1) { context.fillStyle = '#7ac'; context.fillRect(0, 0, 288, 144);
    context.fillStyle = '#fff'; context.fillRect(7 * step, 50, 90, 24);
    await new Promise(resolve => setTimeout(resolve, 40)); }
  const done = new Promise(resolve => { recorder.onstop = resolve; }); recorder.stop(); await done;
  const buffer = new Uint8Array(await new Blob(parts).arrayBuffer());
  let text = ''; for (const byte of buffer) text += String.fromCharCode(byte); return btoa(text); }"""


BAR = """() => { const canvas = document.querySelector('.seen'), row = Math.round(canvas.height * 0.43);
  const d = canvas.getContext('2d').getImageData(0, row, canvas.width, 1).data; let sum = 0, count = 0;
  for (let x = 0; x < canvas.width; x += 1) if (d[4 * x] > 200) { sum += x; count += 1; }
  return count ? sum / count / canvas.width : -1; }"""


def test_a_video_plays_pauses_steps_and_scrubs(opened: Open) -> None:
    """The bar wanders from left to right: the page must see the frame of the place that was chosen, not the one before."""
    page = opened("model=flight&opacity=0")
    content = base64.b64decode(page.evaluate(RECORD))
    page.locator("input[type=file]").set_input_files({"name": "a.webm", "mimeType": "video/webm", "buffer": content})
    page.get_by_role("button", name="Pause").wait_for()
    changes(page, ".seen")
    page.get_by_role("button", name="Pause").click()
    time = "document.querySelector('.playing output').textContent"
    for place, low, high in (("0.1", 0, 0.45), ("0.8", 0.6, 1), ("0.1", 0, 0.45), ("0.8", 0.6, 1)):
        page.get_by_label("Place in the video").fill(place)
        until(lambda low=low, high=high: low < page.evaluate(BAR) < high)
    before = page.evaluate(time)
    for _ in range(5):
        page.get_by_label("One frame back").click()
    until(lambda: page.evaluate(time) != before)
    page.get_by_role("button", name="Play", exact=True).click()
    changes(page, ".seen")


def test_a_picture_that_stands_still_gets_a_sentence(opened: Open) -> None:
    """Flight's explainer is shipped: what it says of the picture is said, and not where it would be about less."""
    page = opened("model=flight&source=photograph")
    page.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": photograph(144, 288)}
    )
    own = Model.load("flight").explain(Image.open(io.BytesIO(photograph(144, 288))))
    holds(page, f"document.querySelector('.sentence').textContent === {json.dumps(own.sentence)}")
    page.locator(".sentence:not(.otherwise)").wait_for()
    page.locator(".classes .rather:visible").first.click()
    holds(page, "location.hash.includes('against=') && document.querySelector('.sentence').hidden")
    page.locator(".classes .rather[aria-pressed=true]").click()
    holds(page, "!document.querySelector('.sentence').hidden")
    page.get_by_role("button", name="Camera").click()
    changes(page, ".seen")
    holds(page, "document.querySelector('.sentence').hidden")  # what moves gets none


GREYED = """() => { const outside = document.querySelector('.outside'), of = e => e.getBoundingClientRect();
  const whole = of(document.querySelector('.picture')), inside = of(document.querySelector('.inside'));
  return { hidden: outside.hidden, filter: getComputedStyle(outside).filter,
    share: [inside.width / whole.width, inside.height / whole.height], ratio: whole.width / whole.height,
    left: (inside.left - whole.left) / whole.width, covers: Math.abs(of(outside).width - whole.width) < 1 }; }"""


def test_a_word_of_the_sentence_shows_where_it_comes_from(opened: Open) -> None:
    needs("flight")
    page = opened("model=flight")
    holds(page, "document.querySelectorAll('.sentence .word').length > 1")
    whole, first = canvas(page, "#stage .over"), page.locator(".sentence .word").first
    first.click()
    tells(page, "#stage .caption", f"the word “{first.inner_text().lower()}”")
    tells(page, ".of-word", "earlier words")
    changes_from(page, "#stage .over", whole)
    alone = canvas(page, "#stage .over")
    contrasted = page.locator(".of-word button.instead")
    if contrasted.count():  # nothing else may come second
        contrasted.click()
        tells(page, "#stage .caption", ", not “")
        changes_from(page, "#stage .over", alone)
    page.keyboard.press("Escape")
    tells(page, "#stage .caption", "Red speaks for ")
    holds(page, "!document.querySelector('#stage .caption').textContent.includes('“')")
    assert canvas(page, "#stage .over") == whole


def test_a_contrast_says_what_would_have_to_be_otherwise(opened: Open) -> None:
    needs("flight")
    page = opened("model=flight")
    holds(page, "document.querySelectorAll('.sentence .word').length > 1")
    page.locator(".classes .rather:visible").first.click()
    tells(page, ".borne", "blur")  # what was checked, or that nothing was borne out
    page.locator(".classes .rather[aria-pressed=true]").click()
    holds(page, "document.querySelector('.borne').hidden && document.querySelector('.otherwise').hidden")


def changes_from(page: Any, selector: str, before: str) -> None:
    """Waits until a canvas shows something else than it did."""
    until(lambda: canvas(page, selector) != before)


def test_what_a_crop_leaves_out_is_greyed(opened: Open) -> None:
    """cub's network sees the middle square: of a picture twice as wide as high, half; the rest is shown in grey."""
    page = opened("model=mnist&example=7")
    page.get_by_label("Model").select_option("cub")
    holds(page, "location.hash.includes('model=cub')")
    page.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": photograph(240, 480)}
    )
    holds(page, "!document.querySelector('.outside').hidden")
    holds(page, f"({GREYED})().share[0] < 0.6")
    found = page.evaluate(GREYED)
    assert found["share"] == pytest.approx([0.5, 1], abs=0.01)
    assert found["left"] == pytest.approx(0.25, abs=0.01)
    assert found["ratio"] == pytest.approx(2, abs=0.02)
    assert found["covers"]
    assert "grayscale" in found["filter"]
    until(lambda: "cut off" in page.locator("#stage .picture").get_attribute("title"))
    until(lambda: painted(page, ".outside") > 50)
    page.get_by_label("Model").select_option("flight")  # stretches: nothing is left out
    holds(page, "document.querySelector('.outside').hidden")


def test_examples_of_a_fetched_data_set_are_offered(opened: Open) -> None:
    needs("cub-22")
    page = opened("model=cub&example=5")
    until(lambda: page.locator(".strip button").count() == 12)
    truth = page.locator(".strip button[aria-pressed=true]").get_attribute("title")
    assert truth.split("truly ")[1]
    holds(
        page, "[...document.querySelectorAll('.strip img')].every(image => image.complete && image.naturalWidth > 99)"
    )


# ---- keyboard --------------------------------------------------------------------------------------------------------


def test_keys_wait_for_the_tiles_of_the_layer(opened: Open) -> None:
    """Pressed before the new layer's tiles have come, a key must not choose among those of the layer before."""
    page = opened("example=7&layer=conv2")
    chosen = page.evaluate(
        """async () => { const press = key => document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
        document.querySelector('[data-layer=conv2]').focus();
        const before = document.querySelector('#tiles .tile').dataset.channel;
        press('h'); press('j');
        const at_once = location.hash.includes('channel=');
        while (!location.hash.includes('channel=')) await new Promise(requestAnimationFrame);
        const first = document.querySelector('#tiles .tile');
        return { before, at_once, layer: location.hash.includes('layer=pool1'), focused: document.activeElement === first,
          channel: first.dataset.channel, count: [...document.querySelectorAll('#tiles .tile:not([hidden])')].length }; }"""
    )
    assert chosen["layer"]
    assert chosen["focused"]
    assert not chosen["at_once"]
    assert chosen["count"] <= 20  # of pool1's 20 channels, not of conv2's 50
    links(page, f"channel={chosen['channel']}")


def test_the_keyboard_walk(opened: Open) -> None:
    page = opened("example=7&layer=conv1")
    keys = page.keyboard
    keys.press("ArrowRight")
    holds(page, "location.hash.includes('layer=pool1')")
    keys.press("l")
    holds(page, "location.hash.includes('layer=conv2')")
    keys.press("h")  # a layer has the focus: back, not help
    holds(page, "location.hash.includes('layer=pool1')")
    keys.press("j")
    holds(page, "location.hash.includes('channel=')")
    holds(page, "document.activeElement.dataset.channel")
    first = page.evaluate("document.activeElement.dataset.channel")
    keys.press("ArrowRight")
    holds(page, f"document.activeElement.dataset.channel !== '{first}'")
    keys.press("ArrowLeft")
    holds(page, f"document.activeElement.dataset.channel === '{first}'")
    for stage in ("channel", "through", "backward"):
        keys.press("z")
        links(page, f"stage={stage}")
    keys.press("b")
    links(page, "method=gradient-input")
    keys.press("d")
    links(page, f"locked=pool1%3A{first}")
    keys.press("ArrowDown")
    links(page, f"locked=pool1%3A{first}")
    keys.press("d")
    links(page, "locked", lost=True)
    keys.press("m")
    links(page, "mirror=true")
    for _ in range(8):
        keys.press("k")
    holds(page, "document.activeElement.dataset.layer === 'pool1'")
    keys.press("Escape")
    links(page, "channel", lost=True)
    page.evaluate("document.activeElement.blur()")
    keys.press("h")
    page.locator("#help").wait_for()
    keys.press("Escape")
    page.locator("#help").wait_for(state="hidden")
    keys.press("c")
    page.get_by_role("button", name="Freeze", exact=True).wait_for()
    keys.press("f")
    page.get_by_role("button", name="Freeze", exact=True, pressed=True).wait_for()


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_worker_killed_while_streaming_is_replaced(opened: Open, server: Served) -> None:
    page = opened("model=flight")
    page.get_by_role("button", name="Camera").click()
    changes(page, ".seen")
    first = server.workers()["flight"]["process"]
    os.kill(int(str(first)), signal.SIGKILL)
    holds(page, "document.querySelector('#message').textContent.includes('another takes its place')")
    changes(page, ".seen")
    until(lambda: server.workers()["flight"]["process"] != first)


def test_two_pages_with_different_models_do_not_disturb_each_other(opened: Open) -> None:
    one, other = opened("model=flight"), opened("model=mnist&example=7")
    one.get_by_role("button", name="Camera").click()
    changes(one, ".seen")
    other.locator(".strip button").nth(3).click()
    holds(other, "document.querySelector('#decision .label').textContent === '3'")
    changes(one, ".seen")
    assert text(other, "#decision .label") == "3"


def test_a_server_that_comes_back_finds_its_page(browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    with served("--model", "mnist", "--models", "mnist") as first:
        page.goto(first.url("/") + "#example=7")
        holds(page, "document.querySelector('#decision .label')?.textContent === '7'")
        port = first.port
    holds(page, "document.querySelector('#message').textContent.includes('does not answer')")
    with served("--model", "mnist", "--models", "mnist", port=port):
        holds(page, "document.querySelector('#message').textContent.includes('back')", 20)
        page.get_by_title("Explain 3:", exact=False).click()
        holds(page, "document.querySelector('.caption').textContent.includes('speaks for 3')")
    context.close()


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_it(browser: Any) -> None:
    token = "a-token-for-this-test-only"
    options = ("--host", "0.0.0.0", "--models", "mnist")
    with served(*options, environment={"RATIONALE_TOKEN": token}) as running:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{running.port}/#token={token}")
        holds(page, "document.querySelector('#decision .label')?.textContent")
        links(page, token, lost=True)
        (cookie,) = context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        stranger = browser.new_context().new_page()
        stranger.goto(f"http://127.0.0.1:{running.port}/")
        stranger.get_by_label("Token, as the server", exact=False).fill("wrong")
        stranger.get_by_role("button", name="Enter").click()
        stranger.get_by_text("That is not the token", exact=False).wait_for()
        stranger.get_by_label("Token, as the server", exact=False).fill(token)
        stranger.get_by_role("button", name="Enter").click()
        holds(stranger, "document.querySelector('#decision .label')?.textContent")
        stranger.context.close()
        context.close()


def test_the_policy_holds_against_a_script_from_elsewhere(opened: Open) -> None:
    page = opened("example=7")
    blocked = page.evaluate(
        """() => new Promise(resolve => { addEventListener('securitypolicyviolation', event => resolve(event.blockedURI));
        const image = new Image(); image.src = 'https://elsewhere.example/x.png'; document.body.append(image); })"""
    )
    assert "elsewhere.example" in blocked
    inline = page.evaluate(
        """() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';
        document.body.append(script); return window.ran === undefined; }"""
    )
    assert inline
    page.expected[:] = []  # the browser's own words on both


# ---- how it looks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("model", ["mnist", "flight"])
def test_nothing_overlaps_or_runs_out_of_the_page(opened: Open, size: tuple[int, int], model: str, album: Path) -> None:
    if model == "flight":
        needs("flight")
    page = opened(f"model={model}&example=7", size)
    page.locator(".tile").first.click()
    holds(page, "document.querySelector('#channel .numbers').textContent.includes('%')")
    until(lambda: painted(page, "#channel .pane >> nth=2 >> canvas") > 50)
    tells(page, "#channel > .pane .caption", "channel")  # what it looks back from, not still the class
    width, height = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert width <= size[0]
    if size[0] > 820:
        assert height <= size[1]  # one screen
    boxes = page.locator("main > section, header.bar").evaluate_all(
        "all => all.filter(e => e.offsetParent).map(e => { const b = e.getBoundingClientRect(); "
        "return [b.left, b.top, b.right, b.bottom]; })"
    )
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            apart = one[0] >= other[2] or one[2] <= other[0] or one[1] >= other[3] - 1 or one[3] <= other[1] + 1
            assert apart
    tiles = page.locator(".tile:visible").evaluate_all(
        "all => all.map(e => { const b = e.getBoundingClientRect(); return [b.top, b.bottom, e.scrollHeight, e.clientHeight]; })"
    )
    assert all(inner <= outer + 1 for _, _, inner, outer in tiles)
    tops = sorted({round(top) for top, *_ in tiles})
    tallest = max(bottom - top for top, bottom, *_ in tiles)
    assert all(after - before >= tallest for before, after in pairwise(tops))
    if album is not None and (model, size[0]) in ALBUM:
        album.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=album / f"live-{model}-{size[0]}.png", full_page=size[0] < 820)


def test_nothing_jumps_while_pictures_move(opened: Open) -> None:
    page = opened("model=flight")
    page.get_by_role("button", name="Camera").click()
    changes(page, ".seen")
    page.wait_for_timeout(1500)
    script = """() => [...document.querySelectorAll('main > section, #stage > *, .classes, .tools')]
      .filter(e => e.offsetParent).map(e => { const b = e.getBoundingClientRect(); return [b.top, b.height]; }).join()"""
    first = page.evaluate(script)
    for _ in range(6):
        page.wait_for_timeout(250)
        assert page.evaluate(script) == first


# ---- for everybody ---------------------------------------------------------------------------------------------------

NAMELESS = """() => [...document.querySelectorAll('button, select, input, summary, [role=img]')]
  .filter(e => e.offsetParent && !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.querySelector('img[alt]')?.alt))
  .map(e => e.outerHTML.slice(0, 120))"""
UNTOLD = """() => [...document.querySelectorAll('button, select, input[type=range], summary')]
  .filter(e => e.offsetParent && !e.closest('dialog') && !(e.title || e.closest('[title]')))
  .map(e => e.outerHTML.slice(0, 120))"""
PALE = """() => { const luminance = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const colour = text => text.match(/[\\d.]+/g).map(Number); const wrong = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.offsetParent || e.closest('datalist, option')) continue;
    let under = e, back = [0, 0, 0, 0];
    while (under && (back[3] ?? 1) === 0) { back = colour(getComputedStyle(under).backgroundColor); if (back.length === 3) back.push(1); under = under.parentElement; }
    const ink = luminance(colour(getComputedStyle(e).color)), paper = luminance(back[3] ? back : [255, 255, 255]);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5 && !e.closest(':disabled')) wrong.push(`${ratio.toFixed(2)} ${e.className || e.tagName} ${e.textContent.slice(0, 30)}`); }
  return wrong; }"""


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_everybody_can_read_and_reach_it(opened: Open, size: tuple[int, int]) -> None:
    page = opened("example=7&layer=conv2&channel=8&target=3&against=7", size)
    holds(page, "document.querySelector('#channel .numbers').textContent.includes('%')")
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(UNTOLD) == []
    assert page.evaluate(PALE) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate("document.documentElement.lang") == "en"
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.closest('header, section')?.id || 'bar'"))
    order = list(dict.fromkeys(reached))
    assert order[:6] == ["bar", "stage", "decision", "network", "tiles", "close"]


def test_reduced_motion_is_respected(opened: Open) -> None:
    page = opened("example=7", reduced_motion="reduce")
    assert page.locator(".tile .bar span").first.evaluate("e => getComputedStyle(e).transitionDuration") == "0s"


AUDIT = """async () => { const found = await axe.run(document, { resultTypes: ['violations'] });
  return found.violations.filter(each => ['serious', 'critical'].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.map(node => node.target.join(' ')).slice(0, 4).join(' | ')}`); }"""


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_axe_finds_nothing_serious(opened: Open, size: tuple[int, int]) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not there: make chromium")
    page = opened("example=7&layer=conv2&channel=8&target=3&against=7", size)
    holds(page, "document.querySelector('#channel .numbers').textContent.includes('%')")
    session = page.context.new_cdp_session(page)  # past the page's policy, which forbids scripts from elsewhere
    session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    assert page.evaluate(AUDIT) == []
    page.get_by_role("tab", name="Account").click()
    holds(page, "document.querySelectorAll('.ledger tbody tr').length > 3")
    page.get_by_text("Display").click()
    assert page.evaluate(AUDIT) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Help").click()
    assert page.evaluate(AUDIT) == []
    page.keyboard.press("Escape")
    turn_to_flight(page)
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Freeze", exact=True).wait_for()
    assert page.evaluate(AUDIT) == []
