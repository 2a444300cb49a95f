"""Docstrings cut to their first sentence, and comments that speak to tools taken out."""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.trees import walk

WIDTH = 110
_TOOL_COMMENT = re.compile(r"#\s*(type:\s*ignore|noqa|fmt:(?!\s*skip)|pragma|mypy:|ruff:)")
_SENTENCE_END = re.compile(r"(?<!\bal)(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)(?<!\bvs)[.!?](?=\s+[A-Z\"'(`])")


def first_sentence(docstring: str) -> str:
    """The first sentence of a docstring's first paragraph, on one line."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    end = _SENTENCE_END.search(paragraph)
    sentence = paragraph[: end.end()] if end else paragraph
    clause = sentence.split("; ")[0]
    return clause + "." if len(sentence) > WIDTH - 10 and clause != sentence else sentence


def shorten_docstrings(text: str) -> str:
    """Every docstring but the module's becomes one sentence."""
    script = SourceText(text)
    for node in walk(script.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        docstring = ast.get_docstring(node)
        first = node.body[0]
        if docstring is None or not isinstance(first, ast.Expr):
            continue
        sentence = first_sentence(docstring)
        quoted = _quoted(sentence, first.col_offset)
        if quoted != script.source(first):
            script.replace(first, quoted)
    return script.apply()


def _quoted(sentence: str, indent: int) -> str:
    # "\\" stands for every backslash, so that the text means the same without an r before it
    plain = sentence.replace("\\", "\\\\").replace('"""', "'''")
    plain += " " if plain.endswith('"') else ""
    if indent + len(plain) + 6 <= WIDTH:
        return f'"""{plain}"""'
    margin = " " * indent
    # narrower by the quotes, which ruff would otherwise join to a single line
    lines = textwrap.wrap(plain, WIDTH - indent - 7, break_long_words=False, break_on_hyphens=False)
    return '"""' + f"\n{margin}".join(lines) + f'\n{margin}"""'


def remove_tool_comments(text: str) -> str:
    """Take out comments for type checkers and linters, and break lines of comments that are too long."""
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        row, column = token.start
        line = lines[row - 1]
        before = line[:column]
        if _TOOL_COMMENT.match(token.string):
            lines[row - 1] = before.rstrip() + "\n" if before.strip() else ""
        elif not before.strip() and len(line.rstrip()) > WIDTH:
            words = textwrap.wrap(token.string.lstrip("# "), WIDTH - column - 2, break_long_words=False)
            lines[row - 1] = "".join(f"{before}# {part}\n" for part in words)
    return "".join(lines)
