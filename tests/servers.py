"""Throw-away database servers on random loopback ports, for tests and benchmarks."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import confluent_kafka
import confluent_kafka.admin
import httpx
import psycopg
import pymysql

from tests import engines

# Below the ports that Linux lends to outgoing connections and to whoever asks for any (32768 to 60999).
PORTS = range(10_240, 32_000)
_kept: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, kept from every other run here until this process ends.

    Seconds pass between the choice and a Java server's `bind`: whoever took the port meanwhile would be spoken to in
    its place. An abstract socket of the port's name is the mark that all runs of a machine see.
    """
    while True:
        port = random.SystemRandom().choice(PORTS)
        mark = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":
                mark.bind(f"\0plumbline-port-{port}")
            with socket.socket() as tried:
                tried.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _kept.append(mark)
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None = None, timeout_s: float = 60) -> None:
    """Wait until somebody accepts connections on the port."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as tried:
            tried.settimeout(0.5)
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder that a server running as another user can write to."""
    path = Path(tempfile.mkdtemp(prefix="plumbline-", dir="/tmp"))
    path.chmod(0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _as_user(name: str) -> dict[str, object]:
    """PostgreSQL refuses to run as root; drop to another user where we are."""
    if os.geteuid() != 0:
        return {}
    return {"user": name, "group": "nogroup", "extra_groups": []}


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL cluster; yields the URL of its superuser, without a database's name."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(programs[-1]) if programs else shutil.which("initdb")
    if initdb is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    server = str(Path(initdb).with_name("postgres"))
    with workplace() as place:
        drop = _as_user("nobody")
        subprocess.run(
            [
                *(initdb, "-D", "data", "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"),
                *("--locale=C.UTF-8", "-E", "UTF8"),
            ],
            cwd=place,
            check=True,
            capture_output=True,
            **drop,  # type: ignore[call-overload]
        )
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": place,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "wal_level": "logical",
            "shared_buffers": "128MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [server, "-D", "data", *options],
                cwd=place,
                stdout=log,
                stderr=log,
                **drop,  # type: ignore[call-overload]
            )
        try:
            wait_for_port(port, process)
            url = f"postgresql://postgres@127.0.0.1:{port}"
            _until(lambda: psycopg.connect(f"{url}/postgres").close())
            yield url
        finally:
            process.kill()
            process.wait()


PGBOUNCER_INI = """[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {place}/users
pool_mode = {mode}
ignore_startup_parameters = {ignored}
default_pool_size = {size}
query_wait_timeout = 2
"""


@contextlib.contextmanager
def pgbouncer(server: str, mode: str, *, ignored: str = "", size: int = 4) -> Iterator[str]:
    """A pooler before a PostgreSQL cluster; yields the URL of its superuser, without a database's name.

    Args:
        mode: session, transaction or statement.
        ignored: startup parameters that it takes and drops.
        size: connections to the server for each database.
    """
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        raise RuntimeError("PgBouncer is not installed: apt-get install pgbouncer")
    with workplace() as place:
        port = free_port()
        behind = server.rpartition(":")[2]
        (place / "users").write_text('"postgres" ""\n"looker" ""\n')
        text = PGBOUNCER_INI.format(place=place, port=port, server=behind, mode=mode, ignored=ignored, size=size)
        (place / "pgbouncer.ini").write_text(text)
        for file in ("users", "pgbouncer.ini"):
            (place / file).chmod(0o644)
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, str(place / "pgbouncer.ini")],
                cwd=place,
                stdout=log,
                stderr=log,
                **_as_user("nobody"),  # type: ignore[call-overload]
            )
        try:
            wait_for_port(port, process)
            yield f"postgresql://postgres@127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _install_mariadb(place: Path, common: Sequence[str], drop: dict[str, object]) -> None:
    """Make a server's folder; tried again, because a machine that starts many servers at once may refuse one."""
    command = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
    for _ in range(3):
        shutil.rmtree(place / "my", ignore_errors=True)
        made = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, **drop)  # type: ignore[call-overload]
        if made.returncode == 0:
            return
    raise RuntimeError(f"mariadb-install-db failed: {(made.stdout + made.stderr)[-2_000:]}")


@contextlib.contextmanager
def mariadb() -> Iterator[str]:
    """A MariaDB server; yields the URL of a login with all rights, without a database's name."""
    if shutil.which("mariadbd") is None and not Path("/usr/sbin/mariadbd").exists():
        raise RuntimeError("MariaDB is not installed: apt-get install mariadb-server")
    with workplace() as place:
        common = [
            "--no-defaults",
            f"--datadir={place}/my",
            "--innodb-log-file-size=64M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
        ]
        drop = _as_user("nobody")
        _install_mariadb(place, common, drop)
        port = free_port()
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    shutil.which("mariadbd") or "/usr/sbin/mariadbd",
                    *common,
                    "--bind-address=127.0.0.1",
                    f"--port={port}",
                    f"--socket={place}/my.sock",
                    f"--pid-file={place}/my.pid",
                    "--skip-log-bin",
                    "--skip-name-resolve",
                    "--performance-schema=0",
                    "--max-allowed-packet=64M",
                ],
                cwd=place,
                stdout=log,
                stderr=log,
                **drop,  # type: ignore[call-overload]
            )
        try:
            wait_for_port(port, process)
            with pymysql.connect(unix_socket=f"{place}/my.sock", user="root", autocommit=True) as root:
                cursor = root.cursor()
                cursor.execute("CREATE USER 't'@'127.0.0.1' IDENTIFIED BY 'secret-of-t'")
                cursor.execute("GRANT ALL ON *.* TO 't'@'127.0.0.1' WITH GRANT OPTION")
            yield f"mariadb://t:secret-of-t@127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis server that asks for a password; yields its URL."""
    if shutil.which("redis-server") is None:
        raise RuntimeError("Redis is not installed: apt-get install redis-server")
    with workplace() as place:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "secret-of-redis"]
        with _served([*command, "--save", "", "--appendonly", "no", "--dir", str(place)], place) as process:
            wait_for_port(port, process)
            yield f"redis://:secret-of-redis@127.0.0.1:{port}"


@contextlib.contextmanager
def nats() -> Iterator[str]:
    """A NATS server with JetStream and a login; yields its URL."""
    program = shutil.which("nats-server") or "/usr/sbin/nats-server"
    if not Path(program).exists():
        raise RuntimeError("NATS is not installed: apt-get install nats-server")
    with workplace() as place:
        port = free_port()
        command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(place)]
        with _served([*command, "--user", "t", "--pass", "secret-of-t"], place) as process:
            wait_for_port(port, process)
            yield f"nats://t:secret-of-t@127.0.0.1:{port}"


@contextlib.contextmanager
def rabbitmq(more: str = "") -> Iterator[str]:
    """A RabbitMQ broker with its management API; yields the API's URL with a login.

    Args:
        more: further lines of its configuration.
    """
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # not the wrapper, which changes the user
    if not program.exists():
        raise RuntimeError("RabbitMQ is not installed: apt-get install rabbitmq-server")
    with workplace() as place:
        ports = {name: free_port() for name in ("amqp", "api", "dist", "epmd")}
        (place / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{ports['amqp']}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {ports['api']}\n"
            f"collect_statistics_interval = 1000\nloopback_users.guest = true\n{more}"
        )
        (place / "plugins").write_text("[rabbitmq_management].")
        environment = {
            **os.environ,
            "HOME": str(place),
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
            "RABBITMQ_NODENAME": f"plumbline{ports['dist']}@localhost",
            "RABBITMQ_MNESIA_BASE": str(place / "mnesia"),
            "RABBITMQ_LOG_BASE": str(place / "logs"),
            "RABBITMQ_DIST_PORT": str(ports["dist"]),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Its schedulers do not wait busily for work: the cores belong to the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(program)], env=environment, stdout=log, stderr=log, cwd=place, start_new_session=True
            )
        url = f"http://guest:guest@127.0.0.1:{ports['api']}"
        try:
            wait_for_port(ports["api"], process, timeout_s=90)
            _until_served(f"{url}/api/overview")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            subprocess.run(["epmd", "-port", str(ports["epmd"]), "-kill"], env=environment, capture_output=True)


JAVA = ("java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")

SERVER_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{open},SASL_PLAINTEXT://127.0.0.1:{login},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{open},SASL_PLAINTEXT://127.0.0.1:{login}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \\
  required user_looker="secret-of-looker";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={place}/data
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=2
background.threads=1
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.io.buffer.size=65536
"""

WORKER_PROPERTIES = """bootstrap.servers={servers}
listeners=http://127.0.0.1:{port}
plugin.discovery=service_load
offset.storage.file.filename={place}/offsets
offset.flush.interval.ms=1000
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
consumer.auto.offset.reset=earliest
consumer.metadata.max.age.ms=1000
"""

LOG4J = """log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.Target=System.err
log4j.appender.stderr.layout=org.apache.log4j.SimpleLayout
"""


@dataclass(frozen=True, slots=True)
class Kafka:
    """A running broker: where it listens without and with a login (`looker`); `login` is None for the stand-in."""

    servers: str
    login: str | None


@contextlib.contextmanager
def kafka() -> Iterator[Kafka]:
    """One Kafka broker; librdkafka's mock cluster where the engine cannot be had."""
    engine = engines.KAFKA.found()
    if engine is None:
        # The mock lives as long as the producer that made it.
        maker = confluent_kafka.Producer({"test.mock.num.brokers": 1})
        (broker,) = maker.list_topics(timeout=10).brokers.values()
        yield Kafka(f"{broker.host}:{broker.port}", None)
        return
    with workplace() as place:
        ports = {name: free_port() for name in ("open", "login", "controller")}
        (place / "server.properties").write_text(SERVER_PROPERTIES.format(**ports, place=place))
        java = _java(engine, place)
        identity = base64.urlsafe_b64encode(b"k" + uuid4().bytes[1:]).decode().rstrip("=")
        settings = str(place / "server.properties")
        formatted = [*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", settings]
        subprocess.run(formatted, cwd=place, check=True, capture_output=True)
        with _served([*java, "kafka.Kafka", settings], place) as process:
            wait_for_port(ports["open"], process)
            admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": f"127.0.0.1:{ports['open']}"})
            _until(lambda: admin.list_topics(timeout=2))
            yield Kafka(f"127.0.0.1:{ports['open']}", f"127.0.0.1:{ports['login']}")


@contextlib.contextmanager
def connect(servers: str) -> Iterator[str]:
    """A Kafka Connect worker; yields the URL of its API. Wants the engine."""
    engine = engines.KAFKA.found()
    assert engine is not None
    with workplace() as place:
        port = free_port()
        properties = WORKER_PROPERTIES.format(servers=servers, port=port, place=place)
        (place / "worker.properties").write_text(properties)
        command = [*_java(engine, place), "org.apache.kafka.connect.cli.ConnectStandalone"]
        with _served([*command, str(place / "worker.properties")], place) as process:
            wait_for_port(port, process)
            url = f"http://127.0.0.1:{port}"
            _until_served(f"{url}/connectors")
            yield url


ELASTICMQ_CONF = """include classpath("application.conf")
node-address {{ protocol = http, host = 127.0.0.1, port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-hostname = "127.0.0.1", bind-port = {port}, sqs-limits = strict }}
rest-stats {{ enabled = false }}
generate-node-address = false
queues-storage.enabled = false
messages-storage.enabled = false
"""


@contextlib.contextmanager
def elasticmq() -> Iterator[str | None]:
    """ElasticMQ, which speaks the protocol of SQS; yields its URL, None where it cannot be had."""
    engine = engines.ELASTICMQ.found()
    if engine is None:
        yield None
        return
    with workplace() as place:
        port = free_port()
        (place / "elasticmq.conf").write_text(ELASTICMQ_CONF.format(port=port))
        java = _java(engine, place)
        command = [*java[:-2], f"-Dconfig.file={place}/elasticmq.conf", *java[-2:], "org.elasticmq.server.Main"]
        with _served(command, place) as process:
            wait_for_port(port, process)
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def pubsub() -> Iterator[str | None]:
    """Google's own fake of Pub/Sub; yields its address, None where it cannot be had."""
    engine = engines.PUBSUB.found()
    if engine is None:
        yield None
        return
    with subprocess.Popen([str(engine / "pstest")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def mongodb(*, replica_set: str = "") -> Iterator[str | None]:
    """FerretDB, which speaks MongoDB's protocol; yields the URL of a login with all rights, None where it has none.

    Args:
        replica_set: the name of the replica set whose primary it says it is.
    """
    engine = engines.FERRETDB.found()
    if engine is None:
        yield None
        return
    with workplace() as place:
        port = free_port()
        (place / "data").mkdir()
        command = [
            str(engine / "ferretdb"),
            *("--handler=sqlite", f"--sqlite-url=file:{place}/data/", f"--state-dir={place}", "--log-level=error"),
            *(f"--listen-addr=127.0.0.1:{port}", "--debug-addr=-", "--telemetry=disable"),
            *("--test-enable-new-auth", "--setup-database=admin", "--setup-username=t"),
            *("--setup-password=secret-of-t", f"--repl-set-name={replica_set}"),
        ]
        with _served(command, place) as process:
            wait_for_port(port, process)
            yield f"mongodb://t:secret-of-t@127.0.0.1:{port}/?authMechanism=SCRAM-SHA-256"


@contextlib.contextmanager
def stripe_mock() -> Iterator[str | None]:
    """Stripe's own server of shapes; yields its URL, None where it cannot be had."""
    engine = engines.STRIPE_MOCK.found()
    if engine is None:
        yield None
        return
    with workplace() as place:
        port = free_port()
        # Without an address for HTTPS it takes port 12112 of every interface, and ends where that is taken.
        addresses = ["-http-addr", f"127.0.0.1:{port}", "-https-addr", f"127.0.0.1:{free_port()}"]
        with _served([str(engine / "stripe-mock"), *addresses], place) as process:
            wait_for_port(port, process)
            yield f"http://127.0.0.1:{port}"


LOOPBACK_ONLY = """import socket
_bind = socket.socket.bind
socket.socket.bind = lambda self, at: _bind(self, ("::ffff:127.0.0.1", *at[1:]) if at[0] == "::" else at)
"""


@contextlib.contextmanager
def localstripe() -> Iterator[str | None]:
    """localstripe, which keeps state; yields its URL, None where it cannot be had.

    It listens on every address, so that its interpreter is started with a socket that binds loopback instead.
    """
    engine = engines.LOCALSTRIPE.found()
    if engine is None:
        yield None
        return
    with workplace() as place:
        port = free_port()
        (place / "sitecustomize.py").write_text(LOOPBACK_ONLY)
        command = ["env", f"PYTHONPATH={place}", f"HOME={place}", str(engine / "bin/python")]
        with _served([*command, "-m", "localstripe.server", "--port", str(port), "--from-scratch"], place) as process:
            wait_for_port(port, process)
            yield f"http://127.0.0.1:{port}"


def _java(engine: Path, place: Path) -> list[str]:
    (place / "log4j.properties").write_text(LOG4J)
    logs = f"-Dlog4j.configuration=file:{place}/log4j.properties"
    return [*JAVA, f"-Djava.io.tmpdir={place}", logs, "-cp", f"{engine}/lib/*"]


@contextlib.contextmanager
def _served(command: Sequence[str], place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is ended with all it started."""
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _until_served(url: str) -> None:
    with httpx.Client(timeout=5, verify=False) as client:
        _until(lambda: client.get(url).raise_for_status())


def _until(ready: object, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            ready()  # type: ignore[operator]
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
