"""The commands of the stream, as a newcomer without a broker calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analytics_assets.streaming.accounts import stored_records, totals
from analytics_assets.streaming.layout import Lake

pytestmark = pytest.mark.slow


def test_from_sample_events_to_replayed_dead_letters(tmp_path: Path, jars: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANALYTICS_")},
        "ANALYTICS_HOME": str(tmp_path / "home"),
        "ANALYTICS_STREAM_FOLDER": str(tmp_path / "events"),
        "ANALYTICS_SPARK_JARS": str(jars),
        "ANALYTICS_SPARK_MASTER": "local[2]",
    }

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "analytics_assets.cli", *words],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def account() -> dict[str, int]:
        parts = totals(stored_records(Lake(str(tmp_path / "home" / "lake"))))
        return {
            name: sum(getattr(part, name) for part in parts)
            for name in ("read", "accepted", "late", "duplicates", "rejected")
        }

    assert "messages in" in command("stream-sample", "--events", "2000")
    assert "has events already" in command("stream-sample")
    said = command("stream", "--once")
    first = account()
    assert first["read"] > 2000
    assert first["read"] == sum(first.values()) - first["read"]
    assert first["rejected"]
    assert f"{first['read']:,}" in said
    assert said.splitlines()[-1] in command("stream-status")
    assert "page_view" in command("live", "activity")
    assert "no JSON object" in command("dead-letters", "list")

    broken = tmp_path / "broken.jsonl"
    command("dead-letters", "export", str(broken), "--containing", "event_time")
    lines = [json.loads(line) for line in broken.read_text().splitlines()]
    assert lines
    for line in lines:
        event = json.loads(line["value"])
        line["value"] = json.dumps({**event, "event_time": "2024-03-01T09:20:00Z"}, indent=1)
    broken.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command("dead-letters", "replay", str(broken))
    command("stream", "--once")
    after = account()
    assert after["rejected"] == first["rejected"]
    assert after["accepted"] + after["late"] == first["accepted"] + first["late"] + len(lines)


def test_without_a_place_of_events_the_remedy_is_said(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANALYTICS_")},
        "ANALYTICS_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "analytics_assets.cli", "stream"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "set one of ANALYTICS_KAFKA_SERVERS and ANALYTICS_STREAM_FOLDER" in done.stderr
