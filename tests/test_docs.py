"""The documentation: the drawn tree is the real one, the site builds, and its links work."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"
PACKAGE = CHECKOUT / "srsearch"


def _drawn_tree() -> dict[str, int]:
    """Paths in the tree of docs/architecture.md, with a slash after folders, to their lines."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8").splitlines()
    start = page.index("srsearch/")
    parents: list[str] = []
    drawn = {}
    for number, line in enumerate(page[start:], start + 1):
        if line == "```":
            break
        depth, rest = divmod(len(line) - len(line.lstrip()), 4)
        assert rest == 0, f"docs/architecture.md:{number}: indent by four spaces: {line!r}"
        name = line.split()[0]
        path = "".join(parents[:depth]) + name
        assert path not in drawn, f"docs/architecture.md:{number}: remove this line: {path} is drawn twice"
        drawn[path] = number
        parents[depth:] = [name]
    return drawn


def _real_tree() -> set[str]:
    """Folders and modules of the package, without the revisions of the database."""
    real = {"srsearch/"}
    for path in PACKAGE.rglob("*"):
        name = path.relative_to(CHECKOUT).as_posix()
        if "__pycache__" in path.parts:
            continue
        if path.is_dir():
            real.add(f"{name}/")
        elif path.suffix == ".py" and path.name != "__init__.py" and path.parent.name != "versions":
            real.add(name)
    return real


def test_the_tree_in_the_documentation_is_that_of_the_package() -> None:
    drawn, real = _drawn_tree(), _real_tree()
    wrong = [
        f"docs/architecture.md:{drawn[gone]}: remove this line: there is no {gone}" for gone in drawn.keys() - real
    ]
    for path in sorted(real - drawn.keys()):
        folder, name = re.fullmatch(r"(.*/)([^/]+/?)", path).groups()  # type: ignore[union-attr]
        place = f"{drawn[folder]}, below {folder}" if folder in drawn else f"?, where {folder} belongs"
        wrong.append(f"docs/architecture.md:{place}: add the line {'    ' * folder.count('/')}{name}  what it is")
    assert not wrong, "\n".join(sorted(wrong))


class _Page(HTMLParser):
    """Links and anchors of one built page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Warnings, such as a link to a missing page, fail the build; with ``--quiet`` they would not."""
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_links_of_the_site_work_and_pages_load_nothing_from_other_sites(site: Path) -> None:
    pages = {path: _Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                wrong.append(f"{path.relative_to(site)}: {link}: no such page")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{path.relative_to(site)}: {link}: no such heading")
    loaded = r'<(?:script|img|link rel="(?:stylesheet|preconnect|icon)")[^>]*(?:src|href)="(?:https?:)?//[^"]*"'
    for path in pages:
        wrong += [f"{path.relative_to(site)}: {tag}" for tag in re.findall(loaded, path.read_text(encoding="utf-8"))]
    assert not wrong, "\n".join(wrong)


def test_examples_of_docstrings_are_code(site: Path) -> None:
    pages = [page.read_text(encoding="utf-8") for page in (site / "api").rglob("*.html")]
    assert any("sr.Space.from_yaml" in page or "&gt;&gt;&gt;" in page for page in pages)
    assert not [page for page in pages if "<blockquote>" in page]  # what Markdown makes of >>> outside of code


def test_every_public_class_and_function_is_on_the_api_pages(site: Path) -> None:
    anchors = set().union(*(_Page(path).anchors for path in (site / "api").rglob("*.html")))
    missing = []
    for init in sorted(PACKAGE.glob("*/__init__.py")):
        package = importlib.import_module(f"srsearch.{init.parent.name}")
        for name in getattr(package, "__all__", ()) if init.parent.name != "cli" else ():
            path, value = f"{package.__name__}.{name}", getattr(package, name)
            if isinstance(value, ModuleType):  # its contents are on the page
                there = any(anchor.startswith(f"{value.__name__}.") for anchor in anchors)
            elif not (inspect.isclass(value) or inspect.isroutine(value)):  # constants are shown where they say more
                continue
            else:  # a function may have the name of its module, which hides it from the page of the package
                there = not anchors.isdisjoint({path, f"{path}.{name}"})
            if not there:
                missing.append(f"{path}: give it a docstring, and put it on docs/api/{init.parent.name}.md")
    assert not missing, "\n".join(missing)


def test_links_of_pages_outside_the_site_point_to_files() -> None:
    pages = [*CHECKOUT.glob("*.md"), CHECKOUT / "studies" / "README.md", CHECKOUT / "dashboards" / "README.md"]
    wrong = []
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path = urlsplit(link).path
            if "://" not in link and path and not (page.parent / path).exists():
                wrong.append(f"{page.relative_to(CHECKOUT)}: {link}")
    assert not wrong, "\n".join(wrong)
