#!/usr/bin/env bash
# Everything continuous integration checks, on any machine: format, lints, tests, docs, fuzz bodies, benches, real peers.
# It installs the peers and tools that are missing where it may (Debian as root, or CI=true), and says what it skipped
# and why where it may not. `./ci.sh STEP…` runs only the steps named: tools format lint test docs deny fuzz bench.
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
peers_dir="$PWD/target/peers"
go_peer="$peers_dir/bin/go-peer"
go_source=crates/ssh-testkit/tests/interop/go/peer.go
go_path=/usr/share/gocode # where Debian puts the libraries
skipped=()

note() { printf '\n==> %s\n' "$*"; }
skip() { skipped+=("$*"); printf -- '--- skipped: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
missing() { skip "$1"; if [ "${CI:-}" = true ]; then echo "On CI nothing may be skipped."; exit 1; fi; }

# Debian packages by the program each brings. A peer that is there already is not touched.
apt_packages() {
  local wanted=()
  [ -x /usr/sbin/sshd ] || wanted+=(openssh-server)
  have ssh || wanted+=(openssh-client)
  have dropbear && have dbclient || wanted+=(dropbear-bin)
  have plink && have puttygen || wanted+=(putty-tools)
  [ -x /usr/sbin/tinysshd ] || wanted+=(tinysshd)
  python3 -c 'import ctypes; ctypes.CDLL("libssh.so.4")' 2>/dev/null || wanted+=(libssh-4)
  have tmux || wanted+=(tmux)
  have ip && have tc || wanted+=(iproute2)
  have nft || wanted+=(nftables)
  have vi || wanted+=(vim-tiny)
  have xauth || wanted+=(xauth)
  have Xvfb || wanted+=(xvfb)
  have xdpyinfo || wanted+=(x11-utils)
  have cc || wanted+=(build-essential)
  # The largest of them, and the only ones that bring Go's SSH: the peer is built once and kept.
  [ "$go_peer" -nt "$go_source" ] || { have go && [ -d "$go_path/src/golang.org/x/crypto/ssh" ]; } || wanted+=(golang-go golang-golang-x-crypto-dev)
  have python3 || wanted+=(python3)
  python3 -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv python3-pip)
  [ ${#wanted[@]} -eq 0 ] && return
  if [ "$(id -u)" = 0 ] && have apt-get; then
    apt-get update -qq
    # The services that Debian would start are not wanted: the tests start their own on free ports.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
  else
    missing "packages ${wanted[*]} (needs root on Debian: apt-get install ${wanted[*]})"
  fi
}

python_peers() {
  if [ ! -x "$peers_dir/bin/python" ]; then
    python3 -m venv "$peers_dir" || { missing "Python peers: no virtual environment could be made"; return; }
  fi
  if ! "$peers_dir/bin/python" -c 'import asyncssh, paramiko, ssh_audit' 2>/dev/null; then
    "$peers_dir/bin/pip" install --quiet --disable-pip-version-check asyncssh==2.24.0 paramiko==5.1.0 ssh-audit==3.9.0 \
      || { missing "asyncssh, paramiko and ssh-audit: pip could not install them"; return; }
  fi
  export BOWLINE_PEERS_PYTHON="$peers_dir/bin/python"
}

# Go's SSH in either seat, from the library that Debian packages.
build_go_peer() {
  [ "$go_peer" -nt "$go_source" ] && return
  mkdir -p "${go_peer%/*}"
  env GO111MODULE=off GOENV=off GOPATH="$go_path" GOCACHE="$peers_dir/go-cache" CGO_ENABLED=0 \
    go build -o "$go_peer" "$go_source" || missing "Go's SSH: $go_source could not be built"
}

# Parts of the Rust toolchain that a minimal one leaves out.
rust_parts() {
  local part
  for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 && continue
    rustup component add "${part/fmt/rustfmt}" >/dev/null 2>&1 || missing "cargo $part: no such part in this toolchain"
  done
}

step_tools() {
  note "peers and tools"
  rust_parts
  apt_packages
  python_peers
  build_go_peer
  [ -d /run/sshd ] || mkdir -p /run/sshd 2>/dev/null || true # OpenSSH's server wants it when started as root
}
step_format() {
  note "format"
  cargo fmt --all -- --check
  (cd fuzz && cargo fmt --all -- --check)
}
step_lint() {
  note "lints"
  cargo clippy --workspace --all-targets --quiet -- -D warnings
}
step_docs() {
  note "documentation"
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --exclude ssh-benches --no-deps --quiet
}
step_deny() {
  note "licences and advisories"
  if have cargo-deny; then cargo deny --log-level error check bans licenses sources; else echo "cargo-deny is not here: step left out (it is optional)"; fi
}
step_fuzz() {
  note "fuzz bodies: built and replayed over their corpora on the stable toolchain"
  (cd fuzz && CARGO_TARGET_DIR=../target cargo test --quiet --no-default-features)
}
step_bench() {
  note "benches: one pass each"
  cargo bench -p ssh-benches --quiet -- --test
  cargo run --release --quiet -p ssh-benches --bin peers -- --smoke
}
step_test() {
  note "tests of the workspace, doc tests and interop"
  # Programs of tests run one after another, and in each as many tests at a time as there are processors: the tests wait for
  # what has to happen and not for a time, so more at a time would only make all of them slower, and fewer hide what races.
  BOWLINE_INTEROP=${BOWLINE_INTEROP:-require} cargo test --workspace --no-fail-fast
}

[ $# -gt 0 ] || set -- tools format lint docs deny fuzz bench test
for step in "$@"; do "step_$step"; done
if [ ${#skipped[@]} -gt 0 ]; then printf '\nSkipped:\n'; printf '  %s\n' "${skipped[@]}"; else printf '\nNothing was skipped.\n'; fi
