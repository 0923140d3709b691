//! The one authority for allow and deny: manifest, operator policy, rules, `decide`, `Permit`, reasons.
