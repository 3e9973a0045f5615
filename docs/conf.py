"""The site: `make docs` builds it. Text is MyST Markdown, learn/ and gallery/ are scripts that are run at the build."""

import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.builder import docstrings, generated  # noqa: E402
from scoresde.storage.files import versions  # noqa: E402

project = "scoresde"
copyright = "the scoresde contributors"
release = versions()["scoresde"]
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
]
exclude_patterns = [
    "gallery/**",
    "learn/**",
    "builder/**",
    "generated/**/*.py",
    "generated/**/*.ipynb",
    "generated/**/*.md5",
]
suppress_warnings = ["config.cache"]  # functions among the settings of the gallery
default_role = "code"

html_theme = "furo"
html_title = f"scoresde {release}"
html_static_path = ["builder/static"]
html_extra_path = ["generated/explorer"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 4
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

sphinx_gallery_conf = {
    "examples_dirs": ["learn", "gallery"],
    "gallery_dirs": ["generated/learn", "generated/gallery"],
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"__init__\.py",
    "subsection_order": [f"gallery/{part}" for part in ("forward", "reverse", "learnt", "conditional", "judging")],
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "reset_modules": ("matplotlib", "docs.builder.resetting.start"),
    "reset_modules_order": "before",
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
    "parallel": 2,
    "doc_module": ("scoresde", "solvers"),
    "backreferences_dir": "generated/backreferences",
    "thumbnail_size": (400, 280),
    "capture_repr": (),
}

warnings.filterwarnings("ignore", message=".*torch.jit.script_method.*", category=DeprecationWarning)
# Drawing a tensor raises it inside torch.
warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)


def setup(app):
    """What is made of the code: pages before reading, docstrings as they are read."""
    generated.write(Path(app.srcdir) / "generated")
    app.connect("autodoc-process-docstring", docstrings.as_rest, priority=400)
