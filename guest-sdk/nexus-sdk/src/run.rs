//! The export every app has, `wasi:cli/run` of WASI 0.3.
//!
//! The 0.2 `run` of an ordinary `fn main` is typed synchronous, and a synchronous export may not wait for an
//! `async func` import. The 0.3 one may.

wit_bindgen::generate!({
    inline: r#"
        package nexus:sdk-run;

        world run {
            export wasi:cli/run@0.3.0;
        }

        package wasi:cli@0.3.0 {
            interface run {
                run: async func() -> result;
            }
        }
    "#,
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_run",
});
