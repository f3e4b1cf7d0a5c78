#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes in network namespaces of their own, joined by veth pairs: for tests and measurements of the TUN interface.

    lab = Lab(bin, 'abc', ['ab', 'bc'])      folder of `seemesh`; nodes; who has a wire to whom
    lab.start(); lab.tun_up()
    lab.run('a', 'traffic', 'ping', lab.address('c'), ...)
    lab.end()

Needs root and iproute2.  Names carry the process id, so several labs live side by side; what a lab started ends with it.
Run as a program it is the traffic inside a namespace: see the functions named do_*.
"""
import atexit, ctypes, hashlib, json, os, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time
from pathlib import Path

PORT = 7411


class Trouble(Exception):
    pass


def missing():
    """Why there can be no lab here, or None."""
    if os.geteuid() != 0:
        return 'only root can make network namespaces'
    if shutil.which('ip') is None:
        return 'iproute2 (ip) is not installed'
    if not os.path.exists('/dev/net/tun'):
        return 'this kernel or container has no /dev/net/tun'
    name = f'sm{os.getpid()}x'
    if subprocess.run(['ip', 'netns', 'add', name], capture_output=True).returncode:
        return 'network namespaces are not allowed here'
    usable = subprocess.run(['ip', '-n', name, 'link', 'show'], capture_output=True, text=True)
    subprocess.run(['ip', 'netns', 'del', name])
    if usable.returncode:
        return f'network namespaces cannot be entered here: {usable.stderr.strip()}'
    return None


def sh(*argv, **more):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, **more)
    if r.returncode:
        raise Trouble(f'{" ".join(str(a) for a in argv)}: {r.stderr.strip() or r.stdout.strip()}')
    return r.stdout


def descendants(pid):
    found = [pid]
    for at in found:
        try:
            found += [int(p) for p in Path(f'/proc/{at}/task/{at}/children').read_text().split()]
        except OSError:
            pass
    return found


def name_of(pid):
    try:
        return Path(f'/proc/{pid}/comm').read_text().strip()
    except OSError:
        return ''


def cpu_s(pid):
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Lab:
    def __init__(self, bin, names='ab', links=('ab',), mtu=1500, nodes=True):
        self.seemesh = Path(bin) / 'seemesh'
        self.names, self.links, self.mtu = names, links, mtu
        self.top = Path(tempfile.mkdtemp(prefix='sm-net-'))
        self.id = f'sm{os.getpid()}{os.urandom(2).hex()}'
        self.daemons, self.helpers = {}, []
        atexit.register(self.end)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        for n in names:
            sh('ip', 'netns', 'add', self.ns(n))
            self.ip(n, 'link', 'set', 'lo', 'up')
        for i, (x, y) in enumerate(links, 1):
            self.wire(i, x, y)
        if nodes:
            for n in names:
                self.init(n)

    def ns(self, n):
        return f'{self.id}{n}'

    def ip(self, n, *words):
        return sh('ip', '-n', self.ns(n), *words)

    def wire(self, i, x, y):
        sh('ip', 'link', 'add', f'to-{y}', 'mtu', self.mtu, 'netns', self.ns(x), 'type', 'veth',
           'peer', 'name', f'to-{x}', 'mtu', self.mtu, 'netns', self.ns(y))
        for me, other, last in (x, y, 1), (y, x, 2):
            self.ip(me, 'addr', 'add', f'10.77.{i}.{last}/24', 'dev', f'to-{other}')
            self.ip(me, 'link', 'set', f'to-{other}', 'up')

    def wire_address(self, x, y):
        """The address of x on its wire to y."""
        for i, link in enumerate(self.links, 1):
            if set(link) == {x, y}:
                return f'10.77.{i}.{1 if link[0] == x else 2}'
        raise Trouble(f'no wire {x}-{y}')

    # -- nodes

    def home(self, n):
        return self.top / n

    def init(self, n):
        """The first of a pair is dialled by the second."""
        peers = [f'{self.wire_address(x, y)}:{PORT}' for x, y in self.links if y == n]
        argv = [self.seemesh, '--home', self.home(n), 'init', '--dev-root', self.top / 'root', '--name', n, '--owner', n,
                '--listen', f'0.0.0.0:{PORT}']
        sh(*argv, *(['--peers', ','.join(peers)] if peers else []))

    def start_node(self, n):
        log = open(self.top / f'{n}.log', 'ab')
        self.daemons[n] = self.popen(n, [self.seemesh, '--home', self.home(n), 'node'], stdout=log, stderr=log)
        log.close()

    def start(self):
        for n in self.names:
            self.start_node(n)
        for n in self.names:
            self.until(f'{n} reaches all', lambda: self.reaches(n) == len(self.names))

    def reaches(self, n):
        r = self.command(n, '--json', 'nodes')
        return sum(x['reachable'] for x in json.loads(r.stdout)['nodes']) if r.returncode == 0 else 0

    def command(self, n, *words):
        """A seemesh command in the namespace of its node."""
        return subprocess.run([str(a) for a in ('ip', 'netns', 'exec', self.ns(n), self.seemesh, '--home', self.home(n), *words)],
                              capture_output=True, text=True, timeout=60)

    def ask(self, n, *words):
        r = self.command(n, '--json', *words)
        if r.returncode:
            raise Trouble(f'{" ".join(words)} at {n}: {r.stderr or r.stdout}')
        return json.loads(r.stdout)

    def tun_up(self, names=None, *more):
        for n in names or self.names:
            self.ask(n, 'tun', 'up', *more)

    def address(self, n):
        return self.ask(n, 'tun', 'status')['address']

    def tree(self, n):
        return descendants(self.daemons[n].pid)

    def net_pid(self, n):
        found = [p for p in self.tree(n) if name_of(p) == 'seemesh-net']
        return found[0] if found else None

    def kill_node(self, n):
        """At once and without a word."""
        tree = self.tree(n)
        for p in tree:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.daemons.pop(n).wait()
        self.until('the killed node is gone', lambda: not any(name_of(p).startswith('seemesh') for p in tree))

    def log(self, n):
        path = self.top / f'{n}.log'
        return path.read_text(errors='replace') if path.exists() else ''

    # -- traffic

    def popen(self, n, argv, **more):
        p = subprocess.Popen([str(a) for a in ('ip', 'netns', 'exec', self.ns(n), *argv)], start_new_session=True,
                             stdin=more.pop('stdin', subprocess.DEVNULL), **more)
        self.helpers.append(p)
        return p

    def traffic(self, n, *words):
        """Start a do_* function in a namespace; its first line of output says that it is ready."""
        p = self.popen(n, [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       bufsize=0)
        if p.stdout.readline().strip() != b'ready':
            raise Trouble(f'{" ".join(str(w) for w in words)} in {n}: {p.stderr.read().decode()}')
        return p

    @staticmethod
    def result(p, limit=60):
        """What it found: a JSON object."""
        try:
            out, err = p.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            p.kill()
            raise Trouble(f'{" ".join(p.args[4:])}: no end within {limit} s')
        if p.returncode:
            raise Trouble(f'{" ".join(p.args[4:])}: {err.decode().strip()}')
        return json.loads(out.splitlines()[-1])

    def ping(self, n, address, count=5, gap_ms=20):
        return self.result(self.traffic(n, 'ping', address, count, gap_ms))

    @staticmethod
    def until(what, probe, limit=20):
        end = time.monotonic() + limit
        while True:
            answer = probe()
            if answer:
                return answer
            if time.monotonic() > end:
                raise Trouble(f'not within {limit} s: {what}')
            time.sleep(0.02)

    def end(self):
        for p in self.helpers:
            for pid in descendants(p.pid) if p.poll() is None else []:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            p.wait()
            for pipe in (p.stdin, p.stdout, p.stderr):
                if pipe:
                    pipe.close()
        self.helpers, self.daemons = [], {}
        for n in self.names:
            subprocess.run(['ip', 'netns', 'del', self.ns(n)], capture_output=True)
        shutil.rmtree(self.top, ignore_errors=True)
        atexit.unregister(self.end)


# -- inside a namespace -----------------------------------------------------------------------

CHUNK = 1 << 20


def say(**found):
    print(json.dumps(found), flush=True)


def connect(address, port):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    s.connect((address, int(port)))
    return s


def listen(family, port):
    s = socket.socket(socket.AF_INET6 if family == '6' else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('::' if family == '6' else '0.0.0.0', int(port)))
    s.listen(8)
    return s


def do_sink(family, port):
    """Take one connection to its end: how many bytes, their hash."""
    s = listen(family, port)
    print('ready', flush=True)
    c, _ = s.accept()
    room, n, digest = bytearray(CHUNK), 0, hashlib.sha256()
    while got := c.recv_into(room):
        digest.update(memoryview(room)[:got])
        n += got
    c.sendall(digest.digest())
    say(bytes=n, sha256=digest.hexdigest())


def do_source(address, port, n, chunk):
    """Send n bytes of a stream that repeats nowhere: their hash, and that of the other end."""
    print('ready', flush=True)
    s, digest, left = connect(address, port), hashlib.sha256(), int(n)
    seed = hashlib.shake_256(os.urandom(32)).digest(int(chunk))
    number = 0
    while left > 0:
        part = (number.to_bytes(8, 'little') + seed)[: min(left, int(chunk))]
        digest.update(part)
        s.sendall(part)
        left -= len(part)
        number += 1
    s.shutdown(socket.SHUT_WR)
    theirs = b''
    while len(theirs) < 32:
        got = s.recv(32 - len(theirs))
        if not got:
            break
        theirs += got
    say(sha256=digest.hexdigest(), theirs=theirs.hex())


def do_drain(family, port):
    """Take connections for as long as there are any; measure bytes between a line on stdin and the next."""
    s = listen(family, port)
    count = [0]

    def take(c):
        room = bytearray(CHUNK)
        while got := c.recv_into(room):
            count[0] += got

    def accept():
        while True:
            threading.Thread(target=take, args=(s.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print('ready', flush=True)
    sys.stdin.readline()
    at, was = time.monotonic(), count[0]
    sys.stdin.readline()
    say(bytes=count[0] - was, seconds=time.monotonic() - at)
    os._exit(0)


def do_fill(address, port):
    """Send until stdin ends."""
    s = connect(address, port)
    print('ready', flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    block = bytes(CHUNK)
    while True:
        s.sendall(block)


def do_ping(address, count, gap_ms):
    """ICMPv6 or ICMP echo, one at a time; a wait of 1 s is a loss."""
    is6 = ':' in address
    s = socket.socket(socket.AF_INET6 if is6 else socket.AF_INET, socket.SOCK_RAW, 58 if is6 else 1)
    s.settimeout(1)
    print('ready', flush=True)
    ident, rtt_us, lost, errors = os.getpid() & 0xFFFF, [], 0, 0
    for i in range(int(count)):
        head = struct.pack('!BBHHH', 128 if is6 else 8, 0, 0, ident, i & 0xFFFF) + bytes(56)
        if not is6:
            total = sum(struct.unpack('!32H', head))
            total = (total >> 16) + (total & 0xFFFF)
            head = head[:2] + struct.pack('!H', ~(total + (total >> 16)) & 0xFFFF) + head[4:]
        began = time.perf_counter_ns()
        s.sendto(head, (address, 0))
        try:
            while True:
                d = s.recv(2048)
                d = d if is6 else d[20:]
                if d[0] == (129 if is6 else 0) and struct.unpack('!HH', d[4:8]) == (ident, i & 0xFFFF):
                    rtt_us.append((time.perf_counter_ns() - began) / 1000)
                    break
                if is6 and d[0] == 1:
                    errors += 1
                    break
        except TimeoutError:
            lost += 1
        time.sleep(float(gap_ms) / 1000)
    rtt_us.sort()
    at = lambda q: rtt_us[int((len(rtt_us) - 1) * q)] if rtt_us else None
    say(answers=len(rtt_us), lost=lost, unreachable=errors, p50_us=at(0.5), p99_us=at(0.99))


def do_gap(address):
    """Ping every 10 ms until stdin ends, without waiting for answers: the longest time without one."""
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
    s.setblocking(False)
    print('ready', flush=True)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    last, longest, i = time.monotonic(), 0.0, 0
    while not over.is_set():
        s.sendto(struct.pack('!BBHHH', 128, 0, 0, os.getpid() & 0xFFFF, i & 0xFFFF) + bytes(56), (address, 0))
        i += 1
        over.wait(0.01)
        try:
            while d := s.recv(2048):
                if d[0] == 129:
                    longest, last = max(longest, time.monotonic() - last), time.monotonic()
        except BlockingIOError:
            pass
    say(longest_s=max(longest, time.monotonic() - last))


def do_connect(address, port):
    """What becomes of a TCP connection: 0, or the errno."""
    s = socket.socket(socket.AF_INET6)
    print('ready', flush=True)
    say(errno=s.connect_ex((address, int(port))))


def do_datagrams(address, port, count, size, source):
    """Send UDP datagrams, from an address of choice; or from ours ('-'), each when the one before has been heard."""
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    if source != '-':
        s.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        s.bind((source, 0))
    print('ready', flush=True)
    for i in range(int(count)):
        s.sendto(i.to_bytes(4, 'big') + bytes(int(size) - 4), (address, int(port)))
        if source == '-':
            s.settimeout(20)
            s.recv(16)
    say(sent=int(count))


def do_hear(port, count):
    """Take UDP datagrams until so many have come or stdin ends: from whom, how long."""
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(('::', int(port)))
    found = []

    def end():
        say(sources=sorted({f[0] for f in found}), sizes=[f[1] for f in found], numbers=[f[2] for f in found])
        os._exit(0)

    threading.Thread(target=lambda: (sys.stdin.read(), end()), daemon=True).start()
    print('ready', flush=True)
    while len(found) < int(count):
        d, a = s.recvfrom(65536)
        found.append((a[0], len(d), int.from_bytes(d[:4], 'big')))
        s.sendto(d[:4], a)
    end()


if __name__ == '__main__':
    globals()[f'do_{sys.argv[1]}'](*sys.argv[2:])
