//! The host's side of `wit/strategy.wit`, generated.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "host-view",
    imports: { default: trappable },
});
