# archfront with its service. For torch without CUDA, which is smaller:
#   docker build --build-arg EXTRA_INDEX=https://download.pytorch.org/whl/cpu -t archfront .
FROM python:3.11-slim

# OpenMP, which some wheels load from the system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/archfront
ARG EXTRA_INDEX=
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt \
        ${EXTRA_INDEX:+--extra-index-url "$EXTRA_INDEX"} ".[postgres]"

# Nothing runs as root; studies, uploads and caches lie in the volume.
RUN useradd --create-home archfront && install --directory --owner archfront /studies
USER archfront
ENV ARCHFRONT_ROOT=/studies XDG_CACHE_HOME=/studies/cache
VOLUME /studies
WORKDIR /studies
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/api/v1/health')"]
ENTRYPOINT ["archfront"]
CMD ["serve", "--host", "0.0.0.0"]
