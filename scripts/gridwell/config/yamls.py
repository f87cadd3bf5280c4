"""YAML as people write it: safe, without surprises, every key with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import short, unreadable

MAX_BYTES = 1_000_000

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A mapping read from YAML.

    Attributes
    ----------
    options
        Nested mappings, lists, texts, numbers, true, false and None.
    lines
        Line of each key in the file, from 1, by the path of keys that leads to it.
    """

    options: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[Keys, int] = field(default_factory=dict)

    def line(self, keys: Keys) -> int | None:
        """Line of the key, or of the section around it."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.lines:
                return self.lines[keys[:end]]
        return None


class _Loader(yaml.SafeLoader):
    """Safe loader that takes only what looks like a number, true, false or null for one.

    YAML 1.1 also reads ``off`` as false, ``010`` as eight, ``1:30`` as ninety and dates as
    dates; here they are texts. Anchors are refused, since they can make a file explode.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (as the base class has it)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.composer.ComposerError(
                None, None, "anchors (& and *) are not used here", event.start_mark
            )
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path, name: str) -> Document:
    """Read a YAML file that holds one mapping; `name` is what problems call the file.

    Raises
    ------
    InputError
        If the file is too large, not text, not YAML, holds a key twice, or no mapping;
        with the line where it is known.
    """
    text = _text_of(path, name)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Document()
        lines: dict[Keys, int] = {}
        problems: list[Problem] = []
        _walk(node, (), name, lines, problems)
        if problems:
            raise InputError(problems)
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax(error, text, name)) from error
    except yaml.YAMLError as error:
        raise InputError(
            Problem(
                file=name,
                reason=f"holds a character that YAML does not allow: {short(str(error))}",
                remedy="Delete it, or save the file as plain UTF-8 text.",
            )
        ) from error
    except RecursionError:
        raise InputError(
            Problem(file=name, reason="is nested too deeply", remedy="Keep options only in it.")
        ) from None
    finally:
        if loader is not None:
            loader.dispose()
    if values is None:
        return Document()
    if not isinstance(values, dict):
        raise InputError(
            Problem(
                file=name,
                row=1,
                reason="does not consist of options",
                remedy="Write one option a line, as `name: value`.",
                value=short(values),
            )
        )
    return Document(_with_text_keys(values), lines)


def _text_of(path: Path, name: str) -> str:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(unreadable(name, error)) from error
    if size > MAX_BYTES:
        raise InputError(
            Problem(
                file=name,
                reason=f"is {size} bytes long, {MAX_BYTES} at most are read",
                remedy="Keep options only in it.",
            )
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            Problem(
                file=name,
                row=line,
                reason="holds a character that is not UTF-8",
                remedy="Save the file as UTF-8.",
            )
        ) from error


def _walk(
    node: yaml.Node, above: Keys, name: str, lines: dict[Keys, int], problems: list[Problem]
) -> None:
    """Note the line of each key; a key that stands twice in a mapping is a problem."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*above, index)] = item.start_mark.line + 1
            _walk(item, (*above, index), name, lines, problems)
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(
                Problem(
                    file=name,
                    row=line,
                    reason="has a list or section as the name of an option",
                    remedy="Write `name: value`.",
                )
            )
            continue
        keys = (*above, key_node.value)
        if keys in lines:
            problems.append(
                Problem(
                    file=name,
                    row=line,
                    column=".".join(map(str, keys)),
                    reason=f"stands twice, first in row {lines[keys]}",
                    remedy="Keep one of the two.",
                )
            )
        else:
            lines[keys] = line
        _walk(value_node, keys, name, lines, problems)


def _with_text_keys(value: Any) -> Any:
    """The same values, every key as text: `1: …` and `true: …` are names here."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(item) for item in value]
    return value


def _syntax(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    row = mark.line + 1 if mark else None
    lines = text.splitlines()
    line = lines[row - 1] if row and row <= len(lines) else ""
    reason = f"is not valid YAML: {error.problem or error.context}"
    remedy = "Write `name: value`, with a space after the colon; texts with : or # in quotes."
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in str(error.problem):
        reason, remedy = "has a tab in it", "Indent with spaces; YAML allows no tabs."
    elif "anchors" in str(error.problem):
        reason = str(error.problem)
        remedy = "Write the values out; texts with & or * in quotes."
    elif "constructor" in str(error.problem):
        reason = "has a tag (!) in it, which could run code"
        remedy = "Write plain values, without tags."
    return Problem(file=name, row=row, reason=reason, remedy=remedy, value=short(line.strip()))
