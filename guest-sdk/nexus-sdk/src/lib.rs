//! What an app author sees: svc::net.
