"""The exported page in headless Chromium, beside the Python interpreter on the same file."""

import dataclasses
import functools
import http.server
import json
import os
import pathlib
import shutil
import threading

import numpy as np
import PIL.Image
import pytest
from helpers.encoding_table import PAGE, READ, SPEC, TOLERANCE
from helpers.encodings import encodings, reference
from helpers.nets import ARCHITECTURES, trained_model
from helpers.pictures import PHOTOS

from keras_resnet import export
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.export import web
from keras_resnet.export.web import web_page
from keras_resnet.inference import load_predictor

pytestmark = pytest.mark.browser
NPM = pathlib.Path(__file__).parents[2] / ".venv" / "litertjs"
NAMES = [f"class {number}" for number in range(10)]
# No screen, no sandbox (the tests may run as root), no attempt to reach the network.
_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=720,760"
)


# The pixels that the page prepares of an image next to it.
_PIXELS = """
const [name, done] = arguments;
Promise.all([import(new URL("app.js", location)), fetch(name).then((answer) => answer.blob())])
  .then(async ([page, file]) => done([...page.preprocess(await page.read(file))]));
"""


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.fail("these tests need chromium and chromedriver, of Debian's package chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in _OPTIONS.split():
        options.add_argument(option)
    running = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield running
    running.quit()


def _served(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _predictions(browser, picture):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 60)
    chooser = browser.find_element(By.ID, "file")
    wait.until(lambda _: chooser.is_enabled())
    chooser.send_keys(os.fspath(picture))
    wait.until(lambda _: picture.name in browser.find_element(By.ID, "status").text)
    rows = browser.find_elements(By.CSS_SELECTOR, "#predictions li")
    return {
        row.find_element(By.TAG_NAME, "span").text: float(row.get_attribute("data-score")) for row in rows
    }


SPECS = {
    "squash": InputSpec(32, 3, "squash"),
    "center": InputSpec(32, 3, "center"),
    "torchvision": InputSpec(32, 3, "center", "published", resize_size=41),
    "timm": InputSpec(32, 3, "center", "published", 32, "bicubic"),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("name", ["A", "imagenet-stem"])
def test_scores_are_the_interpreters(browser, tmp_path, name, spec):
    model = trained_model(ARCHITECTURES[name], 32, 3)
    export.export_tflite(model, tmp_path / "net.tflite", class_names=NAMES, spec=spec)
    web_page(tmp_path / "net.tflite", tmp_path / "web", NPM, title="a net")
    predictor = load_predictor(tmp_path / "net.tflite")
    pictures = {"photo": PHOTOS[0], "small": PHOTOS[1][100:132, 200:232], "tall": PHOTOS[1][:, 100:200]}
    server = _served(tmp_path / "web")
    try:
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        for title, pixels in pictures.items():
            picture = tmp_path / f"{title}.png"
            PIL.Image.fromarray(pixels).save(picture)
            scores = _predictions(browser, picture)
            shutil.copy(picture, tmp_path / "web")
            pixels = np.array(browser.execute_async_script(_PIXELS, picture.name), "uint8")
            pixels = pixels.reshape(32, 32, 3)
            prepared = preprocess_image(picture, spec)
            # Both round between two passes, whose order Pillow chooses; bicubic ones overshoot.
            tolerance = 3 if spec.interpolation == "bicubic" else 1
            assert np.abs(pixels.astype(int) - prepared).max() <= tolerance
            expected = predictor.predict(pixels)[0]
            assert len(scores) == 5
            best = [NAMES[index] for index in np.argsort(-expected)[:5]]
            for class_name, score in scores.items():
                assert score == pytest.approx(expected[NAMES.index(class_name)], abs=1e-3), title
            assert next(iter(scores)) == best[0]
    finally:
        server.shutdown()


def test_every_encoding_is_read_as_the_documented_table_says(browser, tmp_path):
    shutil.copytree(pathlib.Path(web.__file__).parent / "page", tmp_path, dirs_exist_ok=True)
    about = dataclasses.asdict(SPEC) | {
        "title": "a net",
        "class_names": NAMES,
        "shorter_side": SPEC.shorter_side,
    }
    (tmp_path / "about.json").write_text(
        json.dumps(about | {"shorter_side": SPEC.shorter_side, "is_published": SPEC.is_published})
    )
    # Nothing is predicted here.
    (tmp_path / "litert").mkdir()
    (tmp_path / "litert" / "index.js").write_text(
        "export const loadLiteRt = async () => {}, loadAndCompile = async () => ({}); export class Tensor {}"
    )
    server = _served(tmp_path)
    try:
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        for number, (name, contents) in enumerate(encodings().items()):
            (tmp_path / f"{number}.bin").write_bytes(contents)
            pixels = browser.execute_async_script(_PIXELS, f"{number}.bin")
            wanted = preprocess_image(reference(contents), SPEC).ravel()
            same = np.abs(np.array(pixels) - wanted.astype(int)).max() <= TOLERANCE
            assert same == (PAGE.get(name, READ) == READ), name
    finally:
        server.shutdown()


def test_the_keyboard_reaches_the_chooser_and_other_files_are_named(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    export.export_tflite(trained_model(ARCHITECTURES["A"]), tmp_path / "net.tflite", class_names=NAMES)
    web_page(tmp_path / "net.tflite", tmp_path / "web", NPM, title="a net")
    (tmp_path / "notes.txt").write_text("no picture")
    server = _served(tmp_path / "web")
    try:
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        assert not _predictions(browser, tmp_path / "notes.txt")
        assert browser.title == "a net"
        browser.execute_script("document.activeElement.blur()")
        browser.switch_to.active_element.send_keys(Keys.TAB)
        assert browser.switch_to.active_element.get_attribute("id") == "file"
    finally:
        server.shutdown()
