"""The README and the pages in docs/ name only what exists."""

import ast
import importlib
import inspect
import pathlib
import re

import pytest
from ml_collections import ConfigDict

import bertgen_jax as bg
from benchmarks import memory_table, training_tables
from bertgen_jax.commands import main
from configs import common

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WIDTH = 100  # columns


def page_id(page):
    return page.name


def blocks(page, language):
    text = page.read_text(encoding="utf-8")
    return [body for name, body in BLOCK.findall(text) if name == language]


def inline_code(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"`([^`\n]+)`", text)


def public_name(node):
    """The object that `bg.NAME` stands for, or None for any other expression."""
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "bg"
    ):
        return getattr(bg, node.attr)  # fails on a name that does not exist
    return None


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_examples_compile_and_call_what_exists(page):
    for source in blocks(page, "python"):
        for node in ast.walk(ast.parse(source)):
            public_name(node)
            if isinstance(node, ast.ImportFrom) and node.module.startswith(
                "bertgen_jax"
            ):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)
            if isinstance(node, ast.Call) and (function := public_name(node.func)):
                parameters = inspect.signature(function).parameters.values()
                takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
                names = {parameter.name for parameter in parameters}
                keywords = {keyword.arg for keyword in node.keywords}
                assert takes_any or keywords <= names, ast.unparse(node)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_exist(page):
    for code in inline_code(page):
        path = re.fullmatch(r"([\w.-]+/)*[\w.-]+(\.py|\.md|\.cff|/)(:\S+)?", code)
        if path and not path[0].startswith(("variables/", "assets/", "tensorboard/")):
            name = code.partition(":")[0]
            roots = (ROOT, ROOT / "bertgen_jax")
            is_output = name.removesuffix("/") in ("predictions", "results")
            is_output |= name in ("STEP/", "STEP.tmp/", "decoder_tokenizer/")
            assert is_output or any((root / name).exists() for root in roots), code


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_config_fields_exist(page):
    text = page.read_text(encoding="utf-8")
    config = common.get_config()
    fields = re.findall(r"--config\.([a-z_.]*[a-z_])", text)
    for code in inline_code(page):
        name = re.match(r"(\w+)\.[\w.]+(?=$| = |=)", code)
        is_file = code.endswith((".json", ".jsonl", ".pt", ".safetensors"))
        if name and not is_file and isinstance(config.get(name[1]), ConfigDict):
            fields.append(name[0])
    for field in fields:
        value = config
        for part in field.split("."):
            assert part in value, field
            value = value[part]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_flags_of_commands_exist(page, capsys):
    commands = re.findall(
        r"bertgen (convert|generate|score) ((?:[^`\n\\]|\\\n)*)",
        page.read_text(encoding="utf-8"),
    )
    for verb, arguments in commands:
        with pytest.raises(SystemExit):
            main.main([verb, "--help"])
        usage = capsys.readouterr().out
        for flag in re.findall(r"(?<!\S)--[a-z-]+", arguments):
            assert re.search(rf"{flag}\b(?!-)", usage), f"bertgen {verb} {flag}"


def test_the_first_commands_of_the_readme_are_those_that_ci_runs():
    (first, second) = blocks(ROOT / "README.md", "")[0].splitlines()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in (first, second):
        install, run = command.split(" && ")
        assert f"{install.replace('install', 'install -q')} && {run}" in script


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_lines_are_wrapped(page):
    text = page.read_text(encoding="utf-8")
    is_long = [
        line
        for line in text.splitlines()
        if len(line) > WIDTH
        and not line.startswith(("|", "<!--"))
        and " " in line.strip()
    ]
    assert not is_long


def test_tables_of_the_page_on_performance_are_those_of_kept_results():
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    comment = re.compile(r"<!-- python -m benchmarks.(\w+) (benchmarks.*?) -->\n")
    found = comment.findall(page)
    assert {module for module, _ in found} == {"training_tables", "memory_table"}
    for module, names in found:
        files = [ROOT / name for name in names.split()]
        if module == "memory_table":
            table = memory_table.table(files)
        else:
            (file,) = files
            table = training_tables.table(file)
        assert f"{names} -->\n{table}" in page
