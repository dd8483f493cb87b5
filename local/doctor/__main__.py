"""The command line of the doctor: see `python -m local.doctor --help`."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict

import local.doctor
from local.doctor.examination import examine
from local.doctor.findings import Finding
from local.doctor.settings_checks import read_environment
from local.doctor.target import LOCAL_URL
from local.process import ROOT


async def collect(given: argparse.Namespace) -> AsyncIterator[Finding]:
    """The findings about a local app, or about the one at --url."""
    environment = None
    if not given.url:
        environment, problem = read_environment(ROOT)
        if problem is not None:
            yield problem
            environment = None
    async for finding in examine(given.url or LOCAL_URL, environment, given.key, given.token):
        yield finding


async def run(given: argparse.Namespace) -> bool:
    """Prints each finding when its check ends. Returns whether no check failed."""
    findings = []
    async for finding in collect(given):
        findings.append(finding)
        if not given.json:
            print(f"{finding.state:7} {finding.check:13} {finding.message}", flush=True)
    if given.json:
        print(json.dumps([asdict(one) for one in findings], indent=2))
    return all(one.state != "failed" for one in findings)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.doctor",
        description=local.doctor.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default="", help=f"the app's address; default: {LOCAL_URL}")
    parser.add_argument("--key", default="", help="the function key of pubsub_events")
    parser.add_argument("--token", default="", help="a bearer token that identifies you")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    try:
        sys.exit(not asyncio.run(run(parser.parse_args())))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
