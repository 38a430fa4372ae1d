# A static binary and nothing else:
#
#     docker build -t secateur .
#     docker run --rm -v "$PWD:/data" secateur prune model.onnx -o small.onnx --macs 50%

FROM rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev gcc
WORKDIR /src
COPY . .
RUN cargo build --release --locked --features gradients && cp target/release/secateur /secateur

FROM scratch
COPY --from=build /secateur /secateur
# Files beside the result are written in the folder of the result, so nothing else has to be writable.
WORKDIR /data
ENTRYPOINT ["/secateur"]
