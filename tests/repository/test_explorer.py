"""The sampler explorer of the site, driven in a browser; its runs, held against the package."""

import base64
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from docs.builder import explorer
from scoresde import sample

pytestmark = pytest.mark.docs

SITE = Path(__file__).parents[2] / "build" / "docs"
CONTROLS = "problem method budget eta play time paths answer noised error law SUMMARY"
PICTURE = "return document.getElementById('stage').toDataURL()"
FOCUS = """const e = document.activeElement;
return getComputedStyle(e.type === 'radio' ? e.nextSibling : e).outlineStyle"""
FIGURES = "return document.getElementById('figures').innerText"


@pytest.fixture(scope="session")
def page():
    """The page as it lies in the site."""
    path = SITE / "explorer.html"
    assert path.is_file(), "run make docs"
    return path


@pytest.fixture(scope="session")
def runs(page):
    """What the page holds."""
    return json.loads(explorer.RUNS.search(page.read_text(encoding="utf-8"))[1])


@pytest.fixture
def browser(chromium, page):
    """The page as it opens; afterwards nothing was written to the console."""
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    open_at(chromium, page)
    yield chromium
    assert chromium.get_log("browser") == []


def open_at(driver, page, choice=""):
    """Load the page anew, with a choice in its address."""
    driver.get("about:blank")
    driver.get(f"{page.as_uri()}{choice}")


def emulate(driver, name, value):
    """A preference of the reader."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": name, "value": value}]})


def decoded(problem, run):
    """The states of a run, (frames, shown, numbers)."""
    kind, numbers = ("<i2", 2) if problem["plane"] else ("u1", 64)
    states = np.frombuffer(base64.b64decode(problem["states"]), kind).reshape(-1, problem["shown"], numbers)
    return states[run["first"] : run["first"] + len(run["at"]) + 1]


def test_the_page_is_whole(page):
    """Under 3 MB, and nothing in it names another place to load from."""
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 3e6
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//|url\(|@import|fetch\(|XMLHttpRequest""", text) == []
    assert all(source.startswith("data:") for source in re.findall(r"""(?:src|href)=["']([^"']*)""", text))


def test_it_loads_without_errors_or_requests(browser):
    """The console stays empty (see the fixture), and nothing was loaded beside the page."""
    assert browser.title.startswith("Sampler explorer")
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert "Distance in law" in browser.execute_script(FIGURES)


def test_every_choice_has_data(runs):
    """Each problem, method, eta and budget has figures, and states from noise to samples."""
    for problem in runs["problems"]:
        rows = {(run["method"], run["eta"], run["budget"]): run for run in problem["runs"]}
        wanted = {
            (m["name"], eta, budget) for m in runs["methods"] for eta in m["etas"] or [0.0] for budget in m["budgets"]
        }
        assert set(rows) == wanted
        for (_, eta, budget), run in rows.items():
            assert run["law"] > 0
            assert (run["error"] is None) == (eta > 0 or run["method"] == "euler_maruyama")
            assert run["at"] == sorted(run["at"])
            assert decoded(problem, run).shape[0] == len(run["at"]) + 1
            assert budget < 1 or budget - 1 <= run["calls"] <= budget
        assert len(decoded(problem, problem["runs"][-1])) == explorer.MOST_STATES + 1, "the last run ends the states"


def test_all_runs_start_from_one_noise(runs):
    """The first state is the same whatever the method."""
    for problem in runs["problems"]:
        first = decoded(problem, problem["runs"][0])[0].astype(int)
        for run in problem["runs"]:
            assert np.abs(decoded(problem, run)[0] - first).max() <= 1


def test_the_stored_samples_are_those_of_the_package():
    """The last state, made again by the line of Python that the page shows."""
    problem = explorer.problems()[0]
    method, code = explorer.METHODS[2].method(problem, 5, 0.0)
    assert code == "catalogue.ddim(5, 0.0)"
    start = (problem.denoiser.process.lam(1.0), None)
    data = problem.draw(problem.judged, 3)
    row, frames = explorer.run(problem, explorer.METHODS[2], 5, 0.0, start, data, data)
    again = sample(problem.denoiser, (problem.shown, 2), method, explorer.SEED, dtype=frames[-1].dtype)
    assert row["calls"] == 5
    assert (frames[-1] - again).abs().max() < 1e-5


def test_errors_fall_with_calls(runs):
    """Of a method without noise: from 10 calls on at every step, and by a factor of 5 from 3 calls to 50. A multistep
    method may do worse at 5 than at 3: its order rises with the steps made."""
    for problem in runs["problems"]:
        for method in runs["methods"]:
            rows = [run for run in problem["runs"] if run["method"] == method["name"] and run["eta"] == 0]
            errors = [run["error"] for run in sorted(rows, key=lambda run: run["calls"])]
            if None not in errors:
                assert errors[2] > errors[3] > errors[4], (problem["name"], method["name"])
                assert errors[0] > 5 * errors[4], (problem["name"], method["name"])


def test_the_law_comes_near_with_calls(runs):
    """At the most calls every method, with noise or without, is near what two exact sets show: half as much again."""
    for problem in runs["problems"]:
        for run in problem["runs"]:
            if run["budget"] in (50, 1e-5):
                assert run["law"] < 1.5 * (problem["floor"][0] + 2 * problem["floor"][1]), run


def test_runs_are_not_made_twice(page, monkeypatch):
    """The second build takes what is stored; another version of the package does not."""
    monkeypatch.setattr(explorer, "measured", lambda problem: pytest.fail(f"{problem.name} was measured again"))
    before = page.stat().st_mtime_ns
    explorer.make(page.parent)
    assert page.stat().st_mtime_ns == before

    monkeypatch.setattr(explorer, "versions", lambda: {"scoresde": "another"})
    assert explorer.stored(page.read_text(encoding="utf-8")) is None


def test_the_method_changes_by_keyboard(browser):
    """An arrow in the list changes picture, figures and the marked points."""
    before = browser.execute_script(PICTURE), browser.execute_script(FIGURES)
    browser.find_element(By.ID, "method").send_keys(Keys.ARROW_DOWN)
    after = browser.execute_script(PICTURE), browser.execute_script(FIGURES)
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert "dpm_solver_pp_2m" in browser.find_element(By.ID, "error").get_attribute("aria-activedescendant")


def test_play_moves_and_pause_holds(browser):
    """Play starts at the noise; the picture moves until Pause, and in the end is that of the samples."""
    end = browser.execute_script(PICTURE)
    button = browser.find_element(By.ID, "play")
    button.click()
    assert button.text == "Pause"
    first = browser.execute_script(PICTURE)
    assert first != end
    WebDriverWait(browser, 5).until(lambda driver: driver.execute_script(PICTURE) != first)

    button.click()
    held = browser.execute_script(PICTURE)
    time.sleep(0.3)
    assert button.text == "Play"
    assert browser.execute_script(PICTURE) == held

    browser.execute_script("state.time = 0.95")
    button.click()
    WebDriverWait(browser, 10).until(lambda driver: button.text == "Play")
    assert browser.execute_script(PICTURE) == end


def test_play_jumps_where_motion_is_to_be_reduced(browser):
    """Only stored states are seen."""
    emulate(browser, "prefers-reduced-motion", "reduce")
    browser.find_element(By.ID, "play").click()
    places = browser.execute_script("return currentRun().places")
    seen = set()
    until = time.monotonic() + 2
    while time.monotonic() < until:
        seen.add(browser.execute_script("return state.time"))
    assert 1 < len(seen) < 7
    assert seen <= {0, *places}


def test_every_control_is_reached_by_tab(browser):
    """One stop for a group of choices, one for each other control; on each the focus is drawn."""
    want = set(CONTROLS.split())
    seen = set()
    for _ in range(2 * len(want)):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        place = browser.switch_to.active_element
        name = place.get_attribute("name") or place.get_attribute("id") or place.tag_name.upper()
        seen.add(name)
        if name in want:
            assert browser.execute_script(FOCUS) == "solid", name
    assert want <= seen


def test_every_control_changes_what_it_says(browser, page):
    """Choices of problem, calls and eta, the time, and what is drawn."""
    pictures = [browser.execute_script(PICTURE)]
    clicks = ["[name=eta][value='1']", "[name=budget][value='1']", "[name=problem][value=moons]", "#paths", "#noised"]
    for selector in clicks:
        browser.find_element(By.CSS_SELECTOR, selector).click()
        if selector == "#noised":
            browser.find_element(By.ID, "time").send_keys(Keys.PAGE_DOWN)
        pictures.append(browser.execute_script(PICTURE))
    assert not browser.find_element(By.ID, "answer").is_enabled(), "noise leaves no exact answer"
    Select(browser.find_element(By.ID, "method")).select_by_visible_text("UniPC")
    pictures.append(browser.execute_script(PICTURE))
    browser.find_element(By.ID, "answer").click()
    pictures.append(browser.execute_script(PICTURE))
    browser.find_element(By.CSS_SELECTOR, "[name=problem][value=digits]").click()
    pictures.append(browser.execute_script(PICTURE))
    assert len(set(pictures)) == len(pictures)
    assert not browser.find_element(By.ID, "boxes").is_displayed()
    assert browser.execute_script("return location.hash") == "#digits/unipc/1/0"


def test_a_plot_chooses_by_keyboard_and_by_click(browser):
    """Arrows go to the neighbouring calls and methods, a click to the nearest point."""
    plot = browser.find_element(By.ID, "error")
    plot.send_keys(Keys.ARROW_RIGHT)
    assert "20" in browser.execute_script(FIGURES).split()
    plot.send_keys(Keys.ARROW_DOWN)
    assert browser.find_element(By.ID, "method").get_attribute("value") != "ddim"

    taken = set()
    for _ in range(3):  # two points lie on one another here
        point = browser.find_element(By.ID, "law-unipc-0-0")
        ActionChains(browser).move_to_element(point).click().perform()
        taken.add(browser.execute_script("return `${state.method} ${state.budget} ${state.eta}`"))
    assert {"unipc 0 0", "dpm_solver_pp_2m 0 0"} <= taken


def test_the_address_holds_the_choice(browser, page):
    """A link leads to a choice; one that is not known leads to the usual page."""
    open_at(browser, page, "#moons/ddim/4/0.5")
    assert browser.execute_script("return [state.problem, state.budget, state.eta]") == ["moons", 4, 0.5]
    open_at(browser, page, "#nothing/of/that/kind")
    assert browser.execute_script("return state.problem") == "mixture"


@pytest.mark.parametrize("choice", ["#mixture/ddim/2/0.5", "#digits/recommended/4/0", "#moons/probability_flow/0/0"])
def test_it_fits_a_narrow_screen(browser, page, choice):
    """Nothing is wider than 380 pixels."""
    narrow = {"width": 380, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        open_at(browser, page, choice)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 380
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_has_a_dark_side(browser):
    """Page and picture follow the reader's scheme while it is open."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    seen = []
    for scheme in ("light", "dark"):
        emulate(browser, "prefers-color-scheme", scheme)
        browser.execute_async_script("const end = arguments[0]; requestAnimationFrame(() => setTimeout(end, 100))")
        seen.append((browser.execute_script(ground), browser.execute_script(PICTURE)))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]
