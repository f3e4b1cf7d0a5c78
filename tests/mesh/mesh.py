# SPDX-License-Identifier: Apache-2.0
"""Real meshes for tests: start one in a folder of its own, talk to it, hurt it, stop it.

A test program declares cases and ends with run():

    @case('what is promised')
    def _(m):
        ref = m.put(1, b'hello')
        same(m.get(4, ref), b'hello')

    run(nodes=7)

Nothing waits for time: until() polls for what is wanted, with a deadline that only ends a hung
run.  Commands are given as a node's number and words: m('status', node=3).
"""
import atexit, hashlib, base64, json, os, shutil, signal, subprocess, sys, tempfile, time, traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(sys.argv[1]).resolve()
PROGRAMS = ('keys', 'net', 'store')


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def same(got, want, what='value'):
    if got != want:
        raise Failure(f'{what}: got {got!r:.600}, want {want!r:.600}')


def true(condition, what):
    if not condition:
        raise Failure(str(what))


def until(what, probe, limit=20):
    """The first true answer of probe."""
    end = time.monotonic() + limit
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failure(f'not within {limit} s: {what}')
        time.sleep(0.02)


# -- processes --------------------------------------------------------------------------------


def children(pid):
    try:
        return [int(p) for p in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]
    except OSError:
        return []


def descendants(pid):
    found = [pid]
    for at in found:
        found += children(at)
    return found


def name_of(pid):
    """What a process runs; '' when it is gone or only waits to be buried."""
    try:
        text = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return ''
    end = text.rindex(')')
    return '' if text[end + 2] in 'ZX' else text[text.index('(') + 1 : end]


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def rss_kib(pid):
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1])
    raise Failure(f'{pid} has no memory')


def cpu_ticks(pid):
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return int(fields[11]) + int(fields[12])


def open_fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


# -- references -------------------------------------------------------------------------------


def b32(raw):
    return base64.b32encode(raw).decode().rstrip('=').lower()


def unb32(text):
    return base64.b32decode(text.upper() + '=' * (-len(text) % 8))


def make_ref(object_id, key):
    """A reference whose check fits."""
    check = hashlib.sha256(b'seemesh/ref/1' + object_id + key).digest()[:4]
    return f'sm1:{b32(object_id)}:{b32(key)}:{b32(check)}'


# -- a mesh -----------------------------------------------------------------------------------


class Result:
    def __init__(self, done):
        self.code, self.out = done.returncode, done.stdout
        self.err = done.stderr.decode(errors='replace')
        self.text = self.out.decode(errors='replace')
        self.args = ' '.join(str(a) for a in done.args[1:])

    def ok(self):
        return self.expect(0)

    def expect(self, code, *words):
        """The exit code, and words that the one line of complaint has."""
        if self.code != code or not all(w in self.err for w in words):
            raise Failure(f'{self.args}: exit {self.code}, want {code} with {words}; it said:\n'
                          f'{self.err}{self.text[:400]}')
        if code != 0:
            lines = [l for l in self.err.strip().splitlines() if not l.endswith('looking for holders again')]
            same(len(lines), 1, f'lines of complaint in {lines}')
        return self

    def json(self):
        """Every line of output, each of which must be an object."""
        objects = [json.loads(line) for line in self.text.splitlines()]
        true(all(isinstance(o, dict) for o in objects), f'not all objects: {self.text:.200}')
        return objects


class Mesh:
    def __init__(self, nodes=7, *, up=True, more=()):
        self.bin = Path(subprocess.check_output([ROOT / 'tools' / 'stage', BUILD], text=True).strip())
        self.seemesh = self.bin / 'seemesh'
        self.daemon = self.bin.parent / 'sbin' / 'seemeshd'
        self.libexec = self.bin.parent / 'libexec' / 'seemesh'
        self.top = Path(tempfile.mkdtemp(prefix='sm-mesh-'))
        self.dir = self.top / 'mesh'
        self.nodes, self.more = nodes, more
        atexit.register(self.end)
        if up:
            self.up()

    def up(self):
        self.run('dev', 'up', '--nodes', self.nodes, '--dir', self.dir, *self.more, node=None, timeout=90).ok()

    def end(self):
        if (self.dir / 'pids').exists():
            self.run('dev', 'down', '--dir', self.dir, node=None)
        for node in range(1, self.nodes + 1):
            self.kill_node(node)
        shutil.rmtree(self.top, ignore_errors=True)

    # -- asking

    def home(self, node):
        return self.dir / f'n{node}'

    def run(self, *words, node=1, input=b'', timeout=60):
        at = [] if node is None else ['--home', self.home(node)]
        argv = [str(a) for a in [self.seemesh, *at, *words]]
        try:
            return Result(subprocess.run(argv, input=input, capture_output=True, timeout=timeout))
        except subprocess.TimeoutExpired as e:
            said = (e.stderr or b'').decode(errors='replace')
            raise Failure(f'hung for {timeout} s: {" ".join(argv[1:])}; it said:\n{said}')

    __call__ = run

    def ask(self, *words, node=1):
        return self.run('--json', *words, node=node).ok().json()[0]

    def start(self, *words, node=1, **more):
        argv = [str(a) for a in [self.seemesh, '--home', self.home(node), *words]]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **more)

    def file(self, name, content):
        path = self.top / name
        path.write_bytes(content)
        return path

    def put(self, node, content, name='object'):
        return self.ask('put', self.file(name, content), '--name', name, node=node)['ref']

    def get(self, node, ref, **more):
        return self.run('get', ref, node=node, **more).ok().out

    def log(self, node):
        return (self.home(node) / 'log').read_text(errors='replace')

    def address(self, node):
        for line in (self.home(node) / 'seemesh.conf').read_text().splitlines():
            if line.startswith('tcp = '):
                host, port = line[6:].rsplit(':', 1)
                return host, int(port)
        raise Failure(f'n{node} listens nowhere')

    # -- its processes

    def pid(self, node):
        """The node's seemeshd, if it runs."""
        for line in (self.dir / 'pids').read_text().splitlines():
            name, pid = line.split()
            if name == f'n{node}':
                try:
                    words = Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
                except OSError:
                    return None
                return int(pid) if str(self.home(node)).encode() in words else None
        return None

    def program(self, node, name):
        """The pid of one program of a node, or None."""
        main = self.pid(node)
        named = [p for p in (children(main) if main else []) if name_of(p) == f'seemesh-{name}']
        return named[0] if named else None

    def kill_node(self, node):
        """SIGKILL the node's whole tree at once."""
        main = self.pid(node) if (self.dir / 'pids').exists() else None
        if main is not None:
            tree = descendants(main)
            kill(tree)
            until('the killed node is gone', lambda: not any(name_of(p) for p in tree))

    def start_node(self, node, libexec=None):
        """Start a node that was stopped or killed, as dev up does; libexec: with other programs."""
        log = open(self.home(node) / 'log', 'ab')
        p = subprocess.Popen([self.daemon, '--home', self.home(node), '--libexec', libexec or self.libexec],
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        lines = [l.split() for l in (self.dir / 'pids').read_text().splitlines()]
        (self.dir / 'pids').write_text(''.join(
            f'{name} {p.pid if name == f"n{node}" else pid}\n' for name, pid in lines))
        self.children = getattr(self, 'children', []) + [p]

    def reachable(self, node):
        """How many nodes a node reaches, itself included; 0 when it does not answer."""
        r = self.run('--json', 'nodes', node=node)
        return sum(n['reachable'] for n in r.json()[0]['nodes']) if r.code == 0 else 0

    def whole(self, limit=20):
        """Wait until every node reaches every other."""
        for node in range(1, self.nodes + 1):
            try:
                until(f'n{node} reaches all', lambda: self.reachable(node) == self.nodes, limit)
            except Failure as e:
                raise Failure(f'{e}\n{self.map()}')

    def map(self):
        """What each node sees of the others, for people who look into a failure."""
        lines = []
        for node in range(1, self.nodes + 1):
            r = self.run('--json', 'nodes', node=node)
            seen = r.json()[0].get('nodes', []) if r.code == 0 else []
            lines.append(f'n{node}: ' + ' '.join(
                f'{n["owner"]}({"nb " if n["neighbour"] else ""}{"" if n["reachable"] else "lost "}'
                f'links {n["links"]} trust {n["trust"]:.2f})' for n in seen if not n['self']))
        return '\n'.join(lines)

    def trusts(self, node):
        """{owner: trust} of the other nodes, as a node sees them."""
        nodes = self.ask('nodes', node=node)['nodes']
        return {n['owner']: n['trust'] for n in nodes if not n['self']}


# -- cases ------------------------------------------------------------------------------------

cases = []


def case(promise, **mesh):
    """Declare a case.  Its function gets the program's mesh, or one of its own if words for it are given."""
    def declare(f):
        cases.append((promise, f, mesh))
        return f
    return declare


def run(**mesh):
    only = sys.argv[2:]
    chosen = [c for c in cases if not only or any(o in c[0] for o in only)]
    print(f'1..{len(chosen)}', flush=True)
    shared, bad = None, 0
    for i, (promise, f, own) in enumerate(chosen, 1):
        m, began = None, time.monotonic()
        try:
            if own:
                m = Mesh(**own)
            else:
                m = shared = shared or Mesh(**mesh)
            f(m)
            print(f'ok {i} - {promise}', flush=True)
        except Skip as e:
            print(f'ok {i} - {promise} # SKIP {e}')
        except Exception as e:
            bad += 1
            print(f'not ok {i} - {promise}')
            why = str(e) if isinstance(e, Failure) else traceback.format_exc()
            print(''.join(f'# {line}\n' for line in why.splitlines()), end='')
            for log in sorted(m.dir.glob('n*/log')) if m else []:
                tail = log.read_text(errors='replace').splitlines()[-6:]
                print(''.join(f'# {log.parent.name}: {line}\n' for line in tail), end='', flush=True)
        print(f'# {time.monotonic() - began:.1f} s', flush=True)
        if own and m:
            m.end()
    sys.exit(bad > 0)
