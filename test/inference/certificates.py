"""Certificates for tests, made with openssl: NAME.pem and NAME.key in a directory."""

import subprocess
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make_authority(directory: Path, name: str) -> None:
    """An authority that may sign others' certificates."""
    _openssl(directory, "req", "-x509", *KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
             "-days", "2")  # fmt: skip


def issue(directory: Path, name: str, authority: str, alternative_name: str) -> None:
    """A certificate for a host or a client, signed by an authority of the same directory."""
    (directory / "extensions").write_text(f"subjectAltName={alternative_name}")
    _openssl(directory, "req", *KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    signing = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2"]
    _openssl(directory, "x509", "-req", "-in", f"{name}.csr", *signing, "-extfile", "extensions", "-out", f"{name}.pem")


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
