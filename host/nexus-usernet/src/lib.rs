//! The unprivileged NIC: a gateway stack that ends the node's flows on kernel sockets.
