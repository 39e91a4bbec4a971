//! The host's side of `wit/0.1.0`, generated. What the host hands over it lends: the input of a call
//! is written into the guest's memory from where it lies.

wasmtime::component::bindgen!({
    path: "../../wit/0.1.0",
    world: "host-view",
    imports: { default: trappable },
    ownership: Borrowing { duplicate_if_necessary: true },
});
