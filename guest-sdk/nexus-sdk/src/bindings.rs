//! The imports, generated from `wit/`: everything `nexus:*` this host implements, and the few functions of
//! WASI 0.3 an app needs beside it. What an app does not call is not in its component.
//!
//! WASI's own WIT is not copied: interfaces are matched function by function and types by their structure,
//! so naming the functions we call is enough (signatures: WASI 0.3.0, `wasi:clocks`, `wasi:cli`, `wasi:random`).

wit_bindgen::generate!({
    path: ["../../wit/nexus-error", "../../wit/nexus-net", "../../wit/worlds"],
    inline: r#"
        package nexus:sdk;

        world imports {
            include nexus:worlds/host@0.1.0;
            import wasi:clocks/monotonic-clock@0.3.0;
            import wasi:random/insecure-seed@0.3.0;
            import wasi:cli/environment@0.3.0;
            import wasi:cli/exit@0.3.0;
            import wasi:cli/stdout@0.3.0;
            import wasi:cli/stderr@0.3.0;
        }

        package wasi:clocks@0.3.0 {
            interface monotonic-clock {
                now: func() -> u64;
                wait-for: async func(how-long: u64);
            }
        }

        package wasi:random@0.3.0 {
            interface insecure-seed {
                get-insecure-seed: func() -> tuple<u64, u64>;
            }
        }

        package wasi:cli@0.3.0 {
            interface environment {
                get-arguments: func() -> list<string>;
            }
            interface exit {
                exit-with-code: func(status-code: u8);
            }
            interface types {
                enum error-code { io, illegal-byte-sequence, pipe }
            }
            interface stdout {
                use types.{error-code};
                write-via-stream: func(data: stream<u8>) -> future<result<_, error-code>>;
            }
            interface stderr {
                use types.{error-code};
                write-via-stream: func(data: stream<u8>) -> future<result<_, error-code>>;
            }
        }
    "#,
    generate_all,
    generate_unused_types: true,
});
