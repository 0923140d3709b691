//! A node: stack and policy wired. Commands that carry a Permit in, events out; and the in-process links between nodes.
