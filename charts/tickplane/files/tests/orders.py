"""``helm test``: the order entry lists what can be traded, and takes no order from nobody."""

# ruff: noqa: T201

import os

import httpx

ORDER = {"id": "helm-test", "symbol": "NOTHING-USD", "price": "1", "quantity": "1"}


def main() -> None:
    with httpx.Client(base_url=os.environ["ORDERS_URL"], timeout=20) as http:
        symbols = http.get("/v1/symbols")
        print(f"/v1/symbols {symbols.status_code}")
        if symbols.status_code != 401 and not symbols.is_success:
            raise SystemExit(f"/v1/symbols says {symbols.status_code}: {symbols.text}")
        refused = http.post("/v1/orders", json=ORDER, headers={"X-API-Key": "nobody's"})
        print(f"POST /v1/orders {refused.status_code}")
        if refused.status_code != 401 or "code" not in refused.json().get("error", {}):
            raise SystemExit(f"an order under a key that nobody has is answered {refused.status_code}: {refused.text}")


main()
