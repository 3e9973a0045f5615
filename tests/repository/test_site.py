"""The built site: whole, without requests to elsewhere, readable at any width; `make docs` builds it and runs these."""

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "docs"
SCRIPTS = sorted(path for name in ("gallery", "learn") for path in (ROOT / "docs" / name).rglob("*.py"))
LEAST_SCRIPTS = 30
MOST_LINES = 40
PHONE = 380
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
LOOKED_AT = (
    "index",
    "sampler-explorer",
    "choosing",
    "howto/index",
    "generated/learn/index",
    "generated/gallery/index",
    "generated/results",
    "generated/api/solvers",
)


class Page(HTMLParser):
    """Links, anchors and loaded files of one page."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Keep what leads elsewhere."""
        given = {key: value for key, value in attrs if value}
        self.anchors |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])


@pytest.fixture(scope="session")
def pages():
    """Every page of the site by its path."""
    assert (SITE / "index.html").is_file(), "run make docs"
    return {path.resolve(): Page(path) for path in SITE.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(pages):
    outside = {(page.path.name, source) for page in pages.values() for source in page.loaded if urlsplit(source).netloc}
    assert outside == set()


def test_style_sheets_load_nothing_from_elsewhere():
    sheets = [path for path in SITE.rglob("*.css") if re.search(r"url\(\s*[\"']?(?:https?:)?//", path.read_text())]
    assert sheets == []


def test_every_link_within_the_site_leads_somewhere(pages):
    """To a file that is there, and to an anchor that the page has."""
    links = {(page, link) for page in pages.values() for link in page.links + page.loaded}
    assert [(page.path.name, link) for page, link in links if not leads(page, link, pages)] == []


def leads(page: Page, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link out of the site, to a file, or to an anchor of a page that is there."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path.resolve()
    if target not in pages or not parts.fragment:
        return target.exists()
    return unquote(parts.fragment) in pages[target].anchors


def test_pages_of_the_repository_are_in_the_site():
    """Each Markdown page of docs is built."""
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    missing = [source for source in sources if not (SITE / source.with_suffix(".html")).exists()]
    assert missing == []


def test_the_gallery_is_large_and_its_scripts_are_short():
    """At least thirty scripts of at most forty lines of code; comments and the text above do not count."""
    scripts = [path for path in SCRIPTS if "gallery" in path.parts]
    assert len(scripts) >= LEAST_SCRIPTS
    assert {path.name: code_lines(path) for path in scripts if code_lines(path) > MOST_LINES} == {}


def code_lines(path: Path) -> int:
    """Of a script, below its text."""
    text = path.read_text(encoding="utf-8")
    start = ast.parse(text).body[0].end_lineno
    lines = [line.strip() for line in text.splitlines()[start:]]
    return sum(bool(line) and not line.startswith("#") for line in lines)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_gave_a_picture_and_a_notebook(script):
    """The page shows a picture that is not of one colour, and offers the script as a notebook."""
    part = script.parent.relative_to(ROOT / "docs")
    pictures = list((SITE / "_images").glob(f"sphx_glr_{script.stem}_0*.png"))
    assert pictures
    for picture in pictures:
        assert Image.open(picture).convert("L").getextrema()[0] < Image.open(picture).convert("L").getextrema()[1]

    notebooks = list((SITE / "_downloads").rglob(f"{script.stem}.ipynb"))
    assert notebooks, f"{part} has no notebook"
    assert json.loads(notebooks[0].read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_fits_a_phone(chromium, name):
    """No page is wider than the screen: tables and code scroll by themselves."""
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": PHONE, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    chromium.get((SITE / f"{name}.html").as_uri())
    width = chromium.execute_script("return document.scrollingElement.scrollWidth")
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= PHONE


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_opens_without_errors(chromium, name):
    chromium.get_log("browser")
    chromium.get((SITE / f"{name}.html").as_uri())
    assert [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_search_finds_a_sampler_without_a_network(chromium):
    """The page of the sampler is among the answers."""
    from selenium.webdriver.support.ui import WebDriverWait

    chromium.get((SITE / "search.html").as_uri() + "?q=unipc")
    found = "return [...document.querySelectorAll('#search-results li a')].map(link => link.getAttribute('href'))"
    WebDriverWait(chromium, 20).until(lambda driver: driver.execute_script(found))
    assert any("catalogue" in link or "samplers" in link for link in chromium.execute_script(found))


def test_mathematics_is_drawn(chromium):
    """Formulas become MathJax's containers, by the copy that lies in the site."""
    from selenium.webdriver.support.ui import WebDriverWait

    chromium.get((SITE / "generated" / "learn" / "1_forward.html").as_uri())
    drawn = "return document.querySelectorAll('mjx-container').length"
    WebDriverWait(chromium, 30).until(lambda driver: driver.execute_script(drawn) > 3)


def test_dark_mode_changes_the_colours(chromium):
    """The switch of the theme."""
    colour = "return getComputedStyle(document.body).backgroundColor"
    chromium.get((SITE / "index.html").as_uri())
    seen = set()
    for theme in ("light", "dark"):
        chromium.execute_script(f"document.body.dataset.theme = '{theme}'")
        seen.add(chromium.execute_script(colour))
    assert len(seen) == 2
