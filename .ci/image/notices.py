"""What a recipient of the binary is owed: the bill of its materials (CycloneDX), and the licence texts of all that is linked in."""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|COPYRIGHT|UNLICENSE)", re.IGNORECASE)
LINE = re.compile(r"(?P<depth>\d+)(?P<name>\S+) v(?P<version>\S+)[^\t]*\t(?P<licence>.*?)(?: \(\*\))?")


def cargo(source, *arguments):
    return subprocess.run(["cargo", *arguments], cwd=source, check=True, text=True, stdout=subprocess.PIPE).stdout


def collect(source, package, target, executable, authorities):
    """The bill and the licence texts of what is linked into the package's executable (no tests, no build scripts, no macros), and of
    the certificate authorities, whose version is given."""
    edges, licences = graph(source, package, target)
    directories = {
        (found["name"], found["version"]): Path(found["manifest_path"]).parent
        for found in json.loads(cargo(source, "metadata", "--locked", "--format-version=1"))["packages"]
    }
    (root,) = (crate for crate in edges if crate[0] == package)
    others = foundation(executable) | {("certifi", authorities): "MPL-2.0"}
    return bill(source, root, edges, licences, others), texts(root, directories, licences, others)


def graph(source, package, target):
    """Each crate with those that it uses, and with its licence."""
    arguments = ["--edges=normal,no-proc-macro", "--prefix=depth", "--format={p}\t{l}"]
    tree = cargo(source, "tree", "--locked", "--package", package, "--target", target, *arguments)
    edges, licences, above = {}, {}, []
    for line in filter(None, tree.splitlines()):
        found = LINE.fullmatch(line)
        crate = found["name"], found["version"]
        licences[crate] = re.sub(r" */ *", " OR ", found["licence"])
        edges.setdefault(crate, set())
        del above[int(found["depth"]) :]
        if above:
            edges[above[-1]].add(crate)
        above.append(crate)
    return edges, licences


def foundation(executable):
    """What every crate stands on, with its licence."""
    rust = subprocess.run(["rustc", "--version"], check=True, text=True, stdout=subprocess.PIPE).stdout.split()[1]
    glibc = re.search(rb"GNU C Library \(.*?\) stable release version ([0-9.]+)\.\s", executable)
    return {
        ("rust-std", rust): "MIT OR Apache-2.0",
        ("glibc", glibc[1].decode()): "LGPL-2.1-or-later",
    }


def reference(crate):
    return f"pkg:cargo/{crate[0]}@{crate[1]}"


def bill(source, root, edges, licences, others):
    locked = tomllib.loads((source / "Cargo.lock").read_text())["package"]
    checksums = {(found["name"], found["version"]): found.get("checksum") for found in locked}

    def component(crate):
        kind = "application" if crate == root else "library"
        described = {"type": kind, "bom-ref": reference(crate), "name": crate[0], "version": crate[1], "purl": reference(crate)}
        described["licenses"] = [{"expression": licences[crate]}]
        if checksums[crate]:
            described["hashes"] = [{"alg": "SHA-256", "content": checksums[crate]}]
        return described

    no_crates = [
        {"type": "library", "bom-ref": f"{name}@{version}", "name": name, "version": version, "licenses": [{"expression": licence}]}
        for (name, version), licence in others.items()
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root)},
        "components": [component(crate) for crate in sorted(edges) if crate != root] + no_crates,
        "dependencies": [
            {"ref": reference(crate), "dependsOn": sorted(map(reference, edges[crate]))} for crate in sorted(edges)
        ],
    }
    return json.dumps(document, indent=1).encode()


def texts(root, directories, licences, others):
    """Every licence text once, after the names of the crates that come under it."""
    no_crates = ", ".join(f"{name} {version} ({licence})" for (name, version), licence in others.items())
    users, contents = {}, {}
    for crate in sorted(licences):
        if crate == root:
            continue
        files = [path for path in sorted(directories[crate].iterdir()) if path.is_file() and LICENCE_FILE.match(path.name)]
        for text in [path.read_text(errors="replace").strip() for path in files] or [f"Licence: {licences[crate]}"]:
            key = hashlib.sha256(text.encode()).digest()
            contents[key] = text
            users.setdefault(key, []).append(" ".join(crate))
    blocks = [f"{'=' * 80}\n{chr(10).join(users[key])}\n{'-' * 80}\n{text}\n" for key, text in contents.items()]
    preamble = (
        f"Besides the crates below, this image contains {no_crates}.\n"
        "The sources of its revision, with .ci/image/build, relink the binary with another C library.\n\n"
    )
    return (preamble + "\n".join(blocks)).encode()
