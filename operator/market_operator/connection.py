"""The way to the API server, for both clients: kopf's watches by aiohttp, the rest by lightkube."""

import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx2
import kopf
from lightkube import AsyncClient

from services.contracts.errors import ConfigError
from services.contracts.metrics import Metric
from services.runtime.metrics import counter

LIMIT = 0
"""No limit of connections: each watch has its own for as long as it lasts."""


def lightkube_client(field_manager: str) -> AsyncClient:
    """Raises ConfigError where there is neither a service account nor a kubeconfig."""
    return AsyncClient(field_manager=field_manager, transport=httpx2.AsyncHTTPTransport(verify=_ssl_context(_found())))


async def kopf_login(**_: Any) -> kopf.AiohttpSession:
    """A login handler of kopf, which asks anew when a token is not taken any more."""
    found = _found()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=LIMIT, ssl=_ssl_context(found)),
        headers=found.as_http_headers(),
        trace_configs=[_counting()],
    )
    return kopf.AiohttpSession(server=found.server, default_namespace=found.default_namespace, aiohttp_session=session)


def _found() -> kopf.ConnectionInfo:
    settings = kopf.OperatorSettings()
    found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise ConfigError("KUBECONFIG: there is neither a service account nor a kubeconfig")
    return found


def _ssl_context(found: kopf.ConnectionInfo) -> ssl.SSLContext:
    """Chain, expiry and host name are checked; the form of certificates is not.

    From Python 3.13 on it would be, and the CAs of many clusters (EKS, microk8s) lack extensions that RFC 5280 wants:
    https://github.com/kubernetes-client/python/issues/2394
    """
    context = found.as_ssl_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _counting() -> aiohttp.TraceConfig:
    async def count(_session: object, _context: SimpleNamespace, ended: aiohttp.TraceRequestEndParams) -> None:
        verb = "watch" if "watch" in ended.url.query else "list"
        counter(Metric.OPERATOR_API_REQUESTS).labels(verb, ended.url.name, str(ended.response.status)).inc()

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(count)
    return trace
