"""The layers that give values, which of them wins, and the files among them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from promethean.config.leaves import PREFIX, leaves, names
from promethean.config.tree import Settings
from promethean.config.values import Given, Places, unknown_key, unknown_variable, value_of
from promethean.domain.errors import ConfigError
from promethean.domain.yaml_text import BYTES_MAX, YamlDocument, read_yaml

FILE_NAME = "promethean.yaml"


def load_settings(
    cli: Mapping[str, str], environ: Mapping[str, str], cwd: Path, config_file: Path | None = None
) -> Settings:
    """Read every layer, validate the whole tree, and return it.  Creates nothing.

    cli:         values from the command line, text by path (`{"app.mode": "paper"}`); secrets are refused here.
    environ:     the environment of the process.
    cwd:         working directory: holds `.env`, perhaps `promethean.yaml`, and is what relative paths start from.
    config_file: the settings file to read.  Without it `promethean.yaml` of `cwd` is read, or else that of the home.
    Raises:      ConfigError for the first thing that is wrong, with path, value, place and remedy.
    """
    places = Places(cwd, environ.get("HOME") or str(Path.home()))
    strong = {
        **_from_names(_read_dotenv(cwd / ".env"), lambda _: ".env", cwd),
        **_from_names(environ, lambda name: f"environment {name}", cwd),
        **_from_command_line(cli),
    }
    home = value_of(leaves()["app.home"], strong.get("app.home"), places)
    given = {**_from_yaml(cwd, home, config_file), **strong}
    _derive(given)
    values = {path: value_of(leaf, given.get(path), places) for path, leaf in leaves().items()}
    settings = Settings.model_validate(_nested(values))
    settings._origins = {path: given[path].origin if path in given else "default" for path in values}
    return settings


def _derive(given: dict[str, Given]) -> None:
    """Fill in the defaults that depend on another value or on the machine."""
    if "app.instance_id" not in given:
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "localhost"
        given["app.instance_id"] = Given(host, "default")
    if "postgres.ssl_mode" not in given and "app.env" in given and given["app.env"].raw == "production":
        given["postgres.ssl_mode"] = Given("require", "default")


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *groups, name = path.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[name] = value
    return tree


def _from_command_line(cli: Mapping[str, str]) -> dict[str, Given]:
    for path, text in cli.items():
        leaf = leaves().get(path)
        if leaf is None:
            raise ConfigError(f"command line: {unknown_key(path, text)}")
        if leaf.secret:
            raise ConfigError(
                f"{path} is a secret, and other users of the machine can read the command line; "
                f"put it into a file and set {leaf.names[0]}_FILE to its path"
            )
    return {path: Given(text, "command line") for path, text in cli.items()}


def _from_names(variables: Mapping[str, str], origin: Callable[[str], str], cwd: Path) -> dict[str, Given]:
    given: dict[str, Given] = {}
    sources: dict[str, str] = {}
    for name in sorted(variables):
        if name not in names():
            if name.startswith(PREFIX):
                where = " in .env" if origin(name) == ".env" else ""
                raise ConfigError(unknown_variable(name, where, variables[name]))
            continue
        leaf, is_file = names()[name]
        text = _read_secret_file(name, variables[name], cwd) if is_file else variables[name]
        first = given.setdefault(leaf.path, Given(text, origin(name)))
        if first.raw != text:
            raise ConfigError(
                f"{sources[leaf.path]} and {name} both set {leaf.path}, to different values; keep one of them"
            )
        sources.setdefault(leaf.path, name)
    return given


def _read_secret_file(name: str, text: str, cwd: Path) -> str:
    # The path is not shown: by mistake it may be the secret itself.
    content = _read_text(cwd / text, f"the file named by {name}").rstrip("\r\n") if text else ""
    if not content:
        raise ConfigError(f"the file named by {name} holds nothing; write the secret into it, or unset {name}")
    return content


# --- Files -----------------------------------------------------------------------------------------------------------

_DOTENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def _read_text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}; check the path and its permissions") from None
    if len(data) > BYTES_MAX:
        raise ConfigError(f"{name} is larger than the maximum of {BYTES_MAX} bytes; make it smaller")
    if b"\0" in data:
        raise ConfigError(f"{name} holds a zero byte; it is no text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    # Raised out here, so that the error does not carry the decoder's, which holds the content.
    raise ConfigError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise ConfigError(f"{path} cannot be looked at: {error.strerror}; check the permissions above it") from None


def _read_dotenv(path: Path) -> dict[str, str]:
    if not _is_file(path):
        return {}
    variables: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(_read_text(path, path.name).split("\n"), start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        match = _DOTENV_LINE.fullmatch(written)
        value = _dotenv_value(match.group(2)) if match else None
        if match is None or value is None:
            raise ConfigError(f"{path.name}:{number}: not readable; write NAME=value, with quotes closed on the line")
        name = match.group(1)
        if name in variables:
            raise ConfigError(f"{path.name}:{number}: {name} is given twice (first on line {lines[name]}); keep one")
        variables[name], lines[name] = value, number
    return variables


def _dotenv_value(text: str) -> str | None:
    """Take quotes, escapes and the comment off a value; None when a quote is not closed."""
    if text.startswith("'"):
        match = re.fullmatch(r"'([^']*)'\s*(#.*)?", text)
        return match.group(1) if match else None
    if text.startswith('"'):
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(#.*)?', text)
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), match.group(1)) if match else None
    return re.sub(r"(^|\s+)#.*", "", text)


def _from_yaml(cwd: Path, home: Path, config_file: Path | None) -> dict[str, Given]:
    if config_file is not None:
        return _read_settings_file(cwd / config_file, str(config_file))
    if _is_file(cwd / FILE_NAME):
        return _read_settings_file(cwd / FILE_NAME, FILE_NAME)
    path = home / FILE_NAME
    if not _is_file(path):
        return {}
    given = _read_settings_file(path, str(path))
    if "app.home" in given:
        raise ConfigError(
            f"{given['app.home'].origin}: app.home is set in a file that lies in the home; "
            "set PROMETHEAN_HOME instead, and remove the line"
        )
    return given


def _read_settings_file(path: Path, name: str) -> dict[str, Given]:
    document = read_yaml(_read_text(path, name), name)
    return dict(_flatten(document, document.values, Settings, (), name))


def _flatten(
    document: YamlDocument, values: Mapping[str, Any], group: type[BaseModel], above: tuple[str, ...], name: str
) -> Iterator[tuple[str, Given]]:
    for key, value in values.items():
        parts = (*above, key)
        path, origin = ".".join(parts), f"{name}:{document.line(parts)}"
        field = group.model_fields.get(key)
        if field is None:
            if "." in key:
                raise ConfigError(f"{origin}: key '{key}' has a dot; write it nested, one level for each part")
            raise ConfigError(f"{origin}: {unknown_key(path, value)}")
        if path in leaves():
            yield path, Given(value, origin)
        elif isinstance(value, dict):
            assert isinstance(field.annotation, type)
            yield from _flatten(document, value, field.annotation, parts, name)
        elif value is not None:
            raise ConfigError(f"{origin}: {path} is a group of keys, not one value; write its keys below it, indented")
