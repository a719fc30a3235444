"""The page in a real browser: it draws, tells what it sees, and needs neither mouse nor network."""

import base64
import itertools
import math
import shutil

import jax
import numpy as np
import pytest

import jaxcls
from jaxcls.cli import main
from jaxcls.data.images import read_image
from jaxcls.data.standardization import Standardization

TEXT = "</script><script>alert(1)</script>"
# Each activation and likelihood that the page has, one network and three.
SAVED = {
    "relu": ((784, 16, 12, 10), jaxcls.categorical, None),
    "tanh": ((784, 8, 1), jaxcls.bernoulli, None),
    "logistic": ((784, 8, 2), jaxcls.categorical, (0, 1, 2)),
    "gelu": ((784, 16, 12, 5), jaxcls.categorical, None),
    "silu": ((784, 8, 1), jaxcls.bernoulli, (4, 5)),
    "identity": ((784, 3), jaxcls.categorical, None),
}
KINDS = [
    {
        "image_shape": shape,
        "centred": centred,
        "plain_ground": plain,
        "light_ground": light,
    }
    for shape, centred, plain, light in (
        ((28, 28), True, True, False),
        ((28, 28), False, True, False),
        ((28, 28), False, False, False),
        ((8, 8), True, True, True),
        ((20, 32), True, True, False),
        ((32, 20), False, True, True),
    )
]


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs a browser")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("needs a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for each in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(
        options, webdriver.ChromeService(executable_path=paths[1])
    )
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders: one that was trained, and calibrated, and some of chance weights."""
    path = tmp_path_factory.mktemp("runs")
    flags = "--dataset digits --validation-fraction 0.2 --calibrate --threshold 0.2"
    argv = [*flags.split(), "--output-dir", str(path / "trained")]
    assert main.train_binary(argv) == 0
    for seed, (name, (sizes, likelihood, seeds)) in enumerate(SAVED.items()):
        classes = max(2, sizes[-1])
        keys = jax.random.split(jax.random.key(seed), len(seeds or (0,)))
        members = [jaxcls.mlp.init(key, sizes) for key in keys]
        params = members[0] if seeds is None else jaxcls.ensembles.stack(members)
        train = jaxcls.data.load("digits", classes=range(classes))[0]
        jaxcls.save_run(
            path / name,
            params,
            jaxcls.Config(sizes, likelihood, activation=name),
            train=train,
            # One of them takes standardised pixels.
            preparation=Standardization.of(train.features) if name == "tanh" else None,
            class_names=[TEXT, *map(str, range(1, classes))],
            seeds=seeds,
        )
    return [path / "trained", *(path / name for name in SAVED)]


@pytest.fixture(scope="module")
def page(browser, runs, tmp_path_factory):
    """The browser with the page of these runs opened."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert main.report([*map(str, runs), "--output", str(path)]) == 0
    browser.get(path.as_uri())
    return browser


@pytest.fixture
def canvas(page):
    page.find_element("id", "clear").click()
    return page.find_element("id", "canvas")


def told(page):
    """What the trained network takes the drawing for, and how probable it finds each class."""
    panel = page.find_element("css selector", ".network")
    shares = panel.find_elements("css selector", ".share")
    return panel.find_element("css selector", ".told").text, [
        float(each.text or "nan") for each in shares
    ]


def scribble(page, strokes):
    """Draws lines through these points with the page's own ink."""
    page.execute_script(
        "clear.click();"
        "for (const stroke of arguments[0]) {"
        "  context.beginPath(), context.moveTo(...stroke[0]);"
        "  for (const point of stroke) context.lineTo(...point);"
        "  context.stroke(); }",
        strokes,
    )


def test_probabilities_are_those_of_jaxcls(page, runs):
    images = jaxcls.data.load("digits", classes=range(10))[1].features[:100]
    found = page.execute_script(
        "return networks.map((each) => arguments[0].map((image) => probabilities(each, image)))",
        images.tolist(),
    )
    assert len(found) == len(runs)
    for path, got in zip(runs, found, strict=True):
        want = jaxcls.load_run(path).predict_proba(images)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5, err_msg=path.name)


def test_a_temperature_sharpens_them(page):
    image = np.arange(784) % 256
    cold, warm = page.execute_script(
        "return [1, 2].map((temperature) => "
        "probabilities({ ...networks[1], temperature }, arguments[0]))",
        image.tolist(),
    )
    want = np.sqrt(cold) / np.sqrt(cold).sum()
    np.testing.assert_allclose(warm, want, rtol=1e-12)


def test_drawings_are_prepared_as_pictures_are(page, tmp_path):
    rng = np.random.default_rng(0)
    drawings = [
        rng.uniform(140 - reach, 140 + reach, (count, 5, 2)).tolist()
        for reach, count in itertools.product((30, 80, 160), (1, 3))
    ]
    drawings.append([[[40, 40]] * 2, [[140, 60], [150, 240]]])  # with a dot
    unequal, file = 0, tmp_path / "drawing.png"
    for drawing in drawings:
        scribble(page, drawing)
        picture, found = page.execute_script(
            "const { data } = context.getImageData(0, 0, SIDE, SIDE);"
            "const ink = Float32Array.from({ length: SIDE * SIDE }, (_, i) => 255 - data[4 * i]);"
            "return [canvas.toDataURL(), arguments[0].map((kind) => [...prepared(ink, kind)])];",
            KINDS,
        )
        file.write_bytes(base64.b64decode(picture.partition(",")[2]))
        for kind, got in zip(KINDS, found, strict=True):
            how = {name: kind[name] for name in ("light_ground", "plain_ground")}
            shape = kind["image_shape"]
            want, _ = read_image(file, shape, centre=kind["centred"], **how)
            off = np.abs(np.reshape(got, shape) - want.astype(float)).max()
            assert off <= 1, (kind, drawing)  # of 255 greys
            unequal += off > 0
    assert unequal <= 1  # of 42: all are equal where Pillow rounds as C does


def test_a_drawn_0_is_called_0(page, canvas):
    from selenium.webdriver import ActionChains

    mouse = ActionChains(page, duration=5)
    points = [
        (round(60 * math.cos(angle)), round(90 * math.sin(angle)))
        for angle in np.linspace(0, 2 * np.pi, 25)
    ]
    mouse.move_to_element_with_offset(canvas, *points[0]).click_and_hold()
    for point in points[1:]:
        mouse.move_to_element_with_offset(canvas, *point)
    mouse.release().perform()
    name, shares = told(page)
    assert name == "0" and shares[0] > 0.9
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    page.find_element("id", "clear").click()
    assert told(page)[0] == "nothing yet"


def test_the_keyboard_draws_a_1(page, canvas):
    from selenium.webdriver import ActionChains, Keys

    canvas.send_keys("")  # which gives it the focus
    keys = ActionChains(page).send_keys(Keys.ARROW_UP * 12, Keys.SPACE)
    keys.send_keys(Keys.ARROW_DOWN * 24).perform()
    assert page.find_element("id", "state").text == "The pen is down."
    assert told(page)[0] == "1"
    ActionChains(page).send_keys(Keys.ENTER).perform()
    assert page.find_element("id", "state").text == "The pen is up."


@pytest.fixture
def phone(page):
    """The page on a phone of 360 x 640 pixels."""
    size = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    yield page
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_phone_shows_it_without_sideways_scroll(phone):
    wide = phone.execute_script("return document.documentElement.scrollWidth")
    assert wide == 360


def test_a_finger_draws_and_the_page_stays(phone):
    left, top, above = phone.execute_script(
        "clear.click(); canvas.scrollIntoView({ block: 'center' });"
        "const { left, top } = canvas.getBoundingClientRect(); return [left, top, scrollY];"
    )
    for kind, y in (
        ("touchStart", 50),
        *(("touchMove", y) for y in range(60, 240, 20)),
        ("touchEnd", None),
    ):
        points = [] if y is None else [{"x": left + 140, "y": top + y}]
        touch = {"type": kind, "touchPoints": points}
        phone.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
    assert told(phone)[0] == "1"
    assert phone.execute_script("return scrollY") == above


def test_names_are_shown_as_they_are_and_nothing_is_amiss(page):
    names = page.execute_script("return networks.map((each) => each.class_names[0])")
    assert names == ["0", *[TEXT] * len(SAVED)]
    text = page.find_element("tag name", "main").text
    assert TEXT in text
    fetched = page.execute_script(
        "return performance.getEntriesByType('resource').map((each) => each.name.slice(0, 5))"
    )
    assert {*fetched} <= {"data:"}
    # Neither an error nor what the page's own policy forbids.
    assert page.get_log("browser") == []
