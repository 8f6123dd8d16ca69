# tidegate's image: the binary, PostgreSQL's own programs for snapshots, and what CI systems ask of an image
# (sh, env, tail, tar). It is built from source:
#
#   docker build -t tidegate .
#   docker buildx build --platform linux/amd64,linux/arm64 -t … --push .
#
# Where only Debian's mirror can be reached, the one version of PostgreSQL that Debian has:
#
#   docker build --build-arg POSTGRES_FROM=debian --build-arg POSTGRES_MAJORS=15 -t tidegate .

FROM rust:1.95-bookworm AS dependencies
# As Cargo.toml has it for a release; `off`, `0` and `16` compile in a fraction of the time, for those who build to
# test.
ARG LTO=thin
ARG OPT_LEVEL=3
ARG CODEGEN_UNITS=4
ENV CARGO_PROFILE_RELEASE_LTO=$LTO \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=$OPT_LEVEL \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=$CODEGEN_UNITS
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
# The dependencies alone: this layer lasts until one of these two files changes.
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --bin tidegate

FROM dependencies AS build
COPY src src
# Cargo goes by time stamps, and those of a checkout may be older than the layer above.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin tidegate \
    && ./target/release/tidegate --version

FROM debian:bookworm-slim
# `pgdg` is the PostgreSQL project's own repository, apt.postgresql.org; `debian` is Debian's. What is asked
# for and not there ends the build.
ARG POSTGRES_FROM=pgdg
# tidegate takes the nearest pg_dump that is not older than the server; the first one here also serves all
# servers that are older.
ARG POSTGRES_MAJORS="15 16 17 18"
SHELL ["/bin/sh", "-euc"]
WORKDIR /tmp/build
# Versions are not pinned: each build has Debian's security fixes. The packages of the programs are unpacked
# and not installed, because they depend on Perl for wrappers that nobody needs here; what they link is
# installed by name, and that they start shows that it is all.
# hadolint ignore=DL3008
RUN apt-get update; \
    apt-get install -y --no-install-recommends ca-certificates tzdata; \
    case "$POSTGRES_FROM" in \
      debian) ;; \
      pgdg) \
        # Its key comes in a package of Debian's.
        apt-get download postgresql-common; \
        dpkg -x postgresql-common_*.deb common; \
        install -D -m 644 common/usr/share/postgresql-common/pgdg/apt.postgresql.org.gpg /etc/apt/keyrings/pgdg.gpg; \
        echo 'deb [signed-by=/etc/apt/keyrings/pgdg.gpg] http://apt.postgresql.org/pub/repos/apt bookworm-pgdg main' \
          >/etc/apt/sources.list.d/pgdg.list; \
        apt-get update --error-on=any ;; \
      *) echo "POSTGRES_FROM is pgdg or debian, not '$POSTGRES_FROM'" >&2; exit 1 ;; \
    esac; \
    apt-get install -y --no-install-recommends libpq5 liblz4-1 libreadline8 libssl3 libzstd1 zlib1g; \
    for major in $POSTGRES_MAJORS; do \
      apt-get download "postgresql-client-$major"; \
      dpkg -x postgresql-client-"$major"_*.deb "$major"; \
      for program in pg_dump pg_restore psql; do \
        file="/usr/lib/postgresql/$major/bin/$program"; \
        install -D "$major$file" "$file"; \
        "$file" --version; \
        ln -sf "$file" /usr/local/bin/; \
      done; \
    done; \
    apt-get clean; \
    rm -rf /tmp/build /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old
# Here, because the older builder makes the folder anew for whatever comes next.
WORKDIR /work
# Only this layer changes with tidegate's source.
COPY --from=build /source/target/release/tidegate /usr/local/bin/tidegate
ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="tidegate" \
      org.opencontainers.image.description="Staged production releases from CI" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
# Root, because CI systems mount folders of any owner; what tidegate writes gets the owner of its folder.
ENTRYPOINT ["/usr/local/bin/tidegate"]
