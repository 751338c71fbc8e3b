"""`check --template`: what project files stream, the template streams, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, invoke, projects

HEAD = """
Resources:
  Other: {Type: AWS::S3::Bucket}
  ProxyFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/proxy
      Events:
        Root: {Type: Api, Properties: {RestApiId: !Ref Api, Path: '/', Method: ANY}}
        Everything: {Type: Api, Properties: {RestApiId: !Ref Api, Path: '/{proxy+}', Method: ANY}}
        Nightly: {Type: Schedule, Properties: {Schedule: rate(1 day)}}
  StreamFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/proxy
"""
EVENT = "        E{n}: {{Type: Api, Properties: {{RestApiId: !Ref Api, Path: '{path}', Method: ANY, {more}}}}}\n"
STREAM = "ResponseTransferMode: RESPONSE_STREAM, TimeoutInMillis: 300000"


def written(folder: Path) -> Path:
    """Where a template goes: not among the project files."""
    (folder / "sam").mkdir(exist_ok=True)
    return folder / "sam" / "template.yaml"


def template(folder: Path, *paths: str, more: str = STREAM) -> str:
    events = "".join(EVENT.format(n=n, path=path, more=more) for n, path in enumerate(paths))
    file = written(folder)
    file.write_text(HEAD + ("      Events:\n" + events if events else ""))
    return str(file)


def project(folder: Path, *routes: tuple[str, str]) -> str:
    """A folder with one project file: (path, value of `streaming`) for each route."""
    lines = [
        f"  - {{name: r{n}, path: '{path}', upstream: 'http://u', auth: none, streaming: {streaming}}}\n"
        for n, (path, streaming) in enumerate(routes)
    ]
    return str(projects(folder, f"project: one\nroutes:\n{''.join(lines)}"))


def said(folder: Path, *routes: tuple[str, str], file: str) -> list[str]:
    """What `check` finds, each problem's first line."""
    result = invoke("check", project(folder, *routes), "--template", file, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == (1 if document["problems"] else 0)
    return [one["message"].partition("\n")[0] for one in document["problems"]]


def test_a_route_whose_path_and_all_below_it_stream_is_right(tmp_path: Path) -> None:
    file = template(tmp_path, "/ai", "/ai/{proxy+}")
    assert said(tmp_path, ("/ai", "true"), ("/plain", "false"), file=file) == []


def test_without_a_template_nothing_is_compared(tmp_path: Path) -> None:
    assert invoke("check", project(tmp_path, ("/ai", "true"))).exit_code == 0


def test_a_streaming_route_that_nothing_streams_is_told_which_two_lines_to_write(tmp_path: Path) -> None:
    result = invoke("check", project(tmp_path, ("/ai/v1", "true")), "--template", template(tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "one: the route 'r0' streams, but the template does not stream /ai/v1" in result.stderr
    line = (
        "        {}: {{Type: Api, Properties: {{RestApiId: !Ref Api, Path: '{}', Method: ANY, "
        "ResponseTransferMode: RESPONSE_STREAM, TimeoutInMillis: 300000}}}}"
    )
    wanted = [line.format("AiV1", "/ai/v1"), line.format("AiV1Below", "/ai/v1/{proxy+}")]
    assert result.stderr.splitlines()[-2:] == wanted


def test_the_lines_that_it_names_are_the_ones_that_were_missing(tmp_path: Path) -> None:
    folder, file = project(tmp_path, ("/ai/v1", "true")), Path(template(tmp_path))
    lines = invoke("check", folder, "--template", str(file)).stderr.splitlines()[-2:]
    file.write_text(HEAD + "      Events:\n" + "\n".join(lines) + "\n")
    assert invoke("check", folder, "--template", str(file)).exit_code == 0


@pytest.mark.parametrize("paths", [("/ai",), ("/ai/{proxy+}",)])
def test_half_of_a_path_is_not_enough(tmp_path: Path, paths: tuple[str, ...]) -> None:
    (problem,) = said(tmp_path, ("/ai", "true"), file=template(tmp_path, *paths))
    assert "does not stream /ai" in problem


def test_a_path_with_a_version_is_streamed_from_above_it(tmp_path: Path) -> None:
    routes = [("/api/v{version}/chat", "true")]
    (problem,) = said(tmp_path, *routes, file=template(tmp_path, "/api/v1/chat", "/api/v1/chat/{proxy+}"))[:1]
    assert "does not stream /api/v{version}/chat" in problem
    assert said(tmp_path, *routes, file=template(tmp_path, "/api/{proxy+}")) == []
    result = invoke("check", project(tmp_path, *routes), "--template", template(tmp_path))
    assert "Path: '/api/{proxy+}'" in result.stderr.splitlines()[-1]
    assert "Path" not in result.stderr.splitlines()[-2]


def test_a_path_that_streams_for_no_route_is_found(tmp_path: Path) -> None:
    file = template(tmp_path, "/ai", "/ai/{proxy+}", "/old", "/old/{proxy+}")
    found = said(tmp_path, ("/ai", "{idle: 30s}"), file=file)
    assert [problem.partition(",")[0] for problem in found] == [
        "the template streams /old",
        "the template streams /old/{proxy+}",
    ]


def test_a_route_that_does_not_stream_must_not_be_where_cookies_are_lost(tmp_path: Path) -> None:
    file = template(tmp_path, "/ai", "/ai/{proxy+}")
    (problem,) = said(tmp_path, ("/ai", "true"), ("/ai/plain", "false"), file=file)
    assert "'r1' does not stream, but the template streams /ai/plain" in problem


@pytest.mark.parametrize("word", ["STREAM", "response_stream", "!Ref Mode", "!If [On, RESPONSE_STREAM, BUFFERED]", "x"])
def test_every_other_way_to_say_it_is_found_before_sam_buffers_silently(tmp_path: Path, word: str) -> None:
    more = f"ResponseTransferMode: {word}, TimeoutInMillis: 300000"
    found = said(tmp_path, ("/ai", "true"), file=template(tmp_path, "/ai", "/ai/{proxy+}", more=more))
    assert sum("must be the word RESPONSE_STREAM" in problem for problem in found) == 2
    assert any("does not stream /ai" in problem for problem in found)


def test_an_event_that_says_that_it_buffers_is_no_mistake(tmp_path: Path) -> None:
    file = template(tmp_path, "/plain", more="ResponseTransferMode: BUFFERED")
    assert said(tmp_path, ("/plain", "false"), file=file) == []


@pytest.mark.parametrize(
    "more", ["ResponseTransferMode: RESPONSE_STREAM", "ResponseTransferMode: RESPONSE_STREAM, TimeoutInMillis: !Ref T"]
)
def test_a_stream_without_a_time_of_its_own_would_end_early(tmp_path: Path, more: str) -> None:
    found = said(tmp_path, ("/ai", "true"), file=template(tmp_path, "/ai", "/ai/{proxy+}", more=more))
    assert ["needs TimeoutInMillis" in problem for problem in found] == [True, True]


@pytest.mark.parametrize(("total", "fits"), [("300s", True), ("301s", False), ("15m", False)])
def test_a_stream_may_not_be_meant_to_last_longer_than_it_can(tmp_path: Path, total: str, fits: bool) -> None:
    file = template(tmp_path, "/ai", "/ai/{proxy+}")
    found = said(tmp_path, ("/ai", f"{{total: {total}}}"), file=file)
    assert (found == []) is fits


@pytest.mark.parametrize("text", ["", "[", "- a", "Resources: 1", "Resources: {A: {Type: AWS::Serverless::Function}}"])
def test_what_is_no_template_is_said_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = written(tmp_path)
    file.write_text(text)
    result = invoke("check", project(tmp_path, ("/ai", "true")), "--template", str(file))
    assert result.exit_code == 1
    assert "is no SAM template that can be read" in result.stderr
    assert (
        "no SAM template"
        in invoke("check", project(tmp_path, ("/ai", "true")), "--template", str(tmp_path / "none.yaml")).stderr
    )


def test_this_projects_own_files_fit() -> None:
    folder, file = ROOT / "layers/config/projects", ROOT / "template.yaml"
    result = invoke("check", str(folder), "--template", str(file))
    assert result.exit_code == 0, result.stderr
