"""``helm test``: the API answers, and has the stores it reads from."""

# ruff: noqa: T201

import os

import httpx

PATHS = ("/health", "/ready", "/markets", "/v1/status", "/openapi.json")


def main() -> None:
    with httpx.Client(base_url=os.environ["API_URL"], timeout=20) as http:
        for path in PATHS:
            answer = http.get(path)
            print(f"{path} {answer.status_code}")
            if not answer.is_success:
                raise SystemExit(f"{path} says {answer.status_code}: {answer.text}")


main()
