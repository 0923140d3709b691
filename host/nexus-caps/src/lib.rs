//! One file = one WIT interface: what a granted import of an app reaches, behind the gate and its quota.
