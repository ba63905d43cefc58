"""The wire definition of EOS's namespace service: `.proto` files and the stubs made from them."""
