"""An OCI image from a Containerfile, for the few instructions that an image from scratch needs. Any other is refused.

Formats: https://github.com/opencontainers/image-spec
"""

import gzip
import hashlib
import io
import json
import re
import shutil
import string
import tarfile
from dataclasses import dataclass
from datetime import datetime, timezone

MEDIA_TYPE = "application/vnd.oci.image."


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(kind, content, **more):
    return {"mediaType": f"{MEDIA_TYPE}{kind}", "digest": digest(content), "size": len(content)} | more


def encoded(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def layer(directory, created):
    """The files of a directory as a tar archive that depends on nothing but their names, contents and who may execute them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(directory.rglob("*")):
            entry = tarfile.TarInfo(str(path.relative_to(directory)))
            entry.mtime = created
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                content = path.read_bytes()
                entry.size, entry.mode = len(content), 0o755 if path.stat().st_mode & 0o100 else 0o644
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def instructions(containerfile, arguments):
    """The instructions with their arguments put in, of which only the declared ones are known."""
    declared = {}
    for line in containerfile.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        rest = string.Template(rest).substitute(declared)
        if name == "ARG":
            variable, _, default = rest.partition("=")
            declared[variable] = arguments.get(variable, default)
        else:
            yield name, rest


@dataclass
class Image:
    architecture: str
    blobs: list
    manifest: bytes

    @property
    def size(self):
        return sum(map(len, self.blobs))

    @classmethod
    def build(cls, containerfile, context, arguments, created):
        """Carries out the Containerfile. `created` is a time in seconds since 1970, of the image and of all its files."""
        config, archives = {"Labels": {}}, []
        for name, rest in instructions(containerfile, arguments):
            match name:
                case "FROM" if rest == "scratch":
                    pass
                case "COPY" if copied := re.fullmatch(r"(\S+)/ /", rest):
                    archives.append(layer(context / copied[1], created))
                case "USER":
                    config["User"] = rest
                case "EXPOSE":
                    config["ExposedPorts"] = {rest: {}}
                case "ENTRYPOINT":
                    config["Entrypoint"] = json.loads(rest)
                case "LABEL" if label := re.fullmatch(r'(\S+?)="([^"]*)"', rest):
                    config["Labels"][label[1]] = label[2]
                case _:
                    raise SystemExit(f"{containerfile}: cannot be built without a daemon: {name} {rest}")
        layers = [gzip.compress(archive, mtime=0) for archive in archives]
        time = datetime.fromtimestamp(created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        configuration = encoded({
            "created": time,
            "os": "linux",
            "architecture": arguments["TARGETARCH"],
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(archive) for archive in archives]},
            "history": [{"created": time, "created_by": "COPY"} for _ in archives],
        })
        manifest = encoded({
            "schemaVersion": 2,
            "mediaType": f"{MEDIA_TYPE}manifest.v1+json",
            "config": descriptor("config.v1+json", configuration),
            "layers": [descriptor("layer.v1.tar+gzip", content) for content in layers],
            "annotations": config["Labels"],
        })
        return cls(arguments["TARGETARCH"], [configuration, *layers, manifest], manifest)


def write_layout(directory, images):
    """Writes the images as one layout, and returns the digest that a registry will know it by."""
    shutil.rmtree(directory, ignore_errors=True)
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    for content in (content for image in images for content in image.blobs):
        (blobs / digest(content).removeprefix("sha256:")).write_bytes(content)
    index = encoded({
        "schemaVersion": 2,
        "mediaType": f"{MEDIA_TYPE}index.v1+json",
        "manifests": [
            descriptor("manifest.v1+json", image.manifest, platform={"os": "linux", "architecture": image.architecture})
            for image in images
        ],
    })
    (directory / "index.json").write_bytes(index)
    (directory / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))
    return digest(index)
