# tgr as an image, from wheels alone. docs/ci.md says how to build and run it.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS built
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY tgr_cli tgr_cli
COPY prompts prompts
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
# TORCH_INDEX: the package index with torch's builds for the CPU, else the default one, whose torch brings CUDA's libraries.
# EXTRAS: tgr's, as "cam,onnx".
ARG TORCH_INDEX=""
ARG EXTRAS=""
ENV PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all:
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch torchvision; fi
COPY --from=built /wheels /wheels
RUN pip install "$(ls /wheels/tgr-*.whl)${EXTRAS:+[$EXTRAS]}"
RUN useradd --create-home --uid 1000 tgr
USER tgr
WORKDIR /data
ENTRYPOINT ["tgr"]
CMD ["--help"]
