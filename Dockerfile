# syntax=docker/dockerfile:1
FROM rust:1.95.0-bookworm AS build
# librdkafka and OpenSSL are built from source: make and a C compiler are in the image, these are not all.
RUN apt-get update \
    && apt-get install -y --no-install-recommends perl python3 zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
# The image's own toolchain; rust-toolchain.toml would add the lints.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p leadsman \
    && install -D target/release/leadsman /out/leadsman \
    && install -d /out/data /out/token

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/leadsman /usr/local/bin/leadsman
# A new volume takes over the owner of the directory it is mounted on.
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/token /token
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["leadsman"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
