//! Settings of the HTTP server.

use std::net::{IpAddr, SocketAddr};

use crate::limits::TrustedProxies;
use crate::settings::declaration::settings_group;
use crate::settings::kind::{Kind, Redaction, integer, list, switch};
use crate::settings::reader::SettingsReader;
use crate::settings::values::public_url::PublicUrl;
use crate::settings::values::{address, host_name, web_origin};

settings_group! {
    /// The addresses to listen on, and who may connect.
    pub struct HttpSettings {
        /// IP address to listen on: `127.0.0.1` or `localhost` for this machine only, `0.0.0.0` for
        /// every IPv4 interface, `::` for IPv6.
        pub host: IpAddr = Setting {
            name: HOST,
            default: "127.0.0.1",
            kind: Kind::new(
                "an IP address such as 127.0.0.1, 0.0.0.0 or ::, or localhost",
                address::parse,
                IpAddr::to_string,
            ),
        },

        /// TCP port to listen on.
        pub port: u16 = Setting {
            name: PORT,
            default: "8080",
            kind: integer(0..=65_535).with_note(" (0 takes any free port)"),
        },

        /// Address that serves metrics and health to the operator, without authentication. Do not
        /// expose it to visitors.
        pub operator: Option<SocketAddr> = Setting {
            name: OPERATOR_ADDRESS,
            default: "127.0.0.1:9090",
            kind: Kind::new(
                "an IP address and a port such as 127.0.0.1:9090 or [::1]:9090, or off",
                address::parse_socket_address,
                address::format_socket_address,
            ),
        },

        /// URL under which visitors reach this server, such as `https://chat.example/` or
        /// `https://example.com/chat/`. Used for links, and its host name is accepted in requests.
        pub public_url: Option<PublicUrl> = Setting {
            name: PUBLIC_URL,
            default: "",
            kind: Kind::new(
                "an http:// or https:// URL without query, such as https://chat.example/ or \
                 https://example.com/chat/",
                PublicUrl::parse,
                PublicUrl::to_string,
            )
            .with_redaction(Redaction::Url)
            .optional(),
        },

        /// Further host names under which this server is reached. A request for a name that is
        /// neither listed, nor in `PUBLIC_URL`, nor an address of this machine is refused, so that
        /// a page whose name is pointed at this server cannot read from it.
        pub allowed_hosts: Vec<String> = Setting {
            name: ALLOWED_HOSTS,
            default: "",
            kind: list("a list of host names or addresses without ports, such as chat.internal", host_name::parse),
        },

        /// Web origins whose pages may open a chat, import the browser modules or show the chat page
        /// in a frame, written as browsers send them. If empty, only pages that this server itself
        /// serves may do so.
        pub allowed_origins: Vec<String> = Setting {
            name: ALLOWED_ORIGINS,
            default: "",
            kind: list(
                "a list of exact origins, each scheme://host or scheme://host:port, such as \
                 https://example.com",
                web_origin::parse,
            ),
        },

        /// Whether clients without an `Origin` header may connect. Browsers always send the header;
        /// terminal and mobile clients do not.
        pub allow_missing_origin: bool = Setting {
            name: ALLOW_MISSING_ORIGIN,
            default: "true",
            kind: switch(),
        },

        /// Maximum number of open connections: WebSockets and event streams. Each takes a file
        /// descriptor.
        pub max_connections: u32 = Setting {
            name: MAX_CONNECTIONS,
            default: "10000",
            kind: integer(1..=1_000_000),
        },

        /// Maximum number of open WebSockets and event streams per client address. IPv6 addresses
        /// are counted per /64 network, and a /48 network may have four times as many.
        pub max_connections_per_address: u32 = Setting {
            name: MAX_CONNECTIONS_PER_ADDRESS,
            default: "32",
            kind: integer(1..=1_000_000),
        },

        /// Reverse proxies whose `X-Forwarded-For` header is trusted. The header is read from its
        /// right end. If empty, all visitors behind a proxy count as one address.
        pub trusted_proxies: Vec<String> = Setting {
            name: TRUSTED_PROXIES,
            default: "",
            kind: list("a list of addresses or networks (10.0.0.1, 10.0.0.0/8, fd00::/8)", parse_proxy),
        },
    }
}

impl HttpSettings {
    pub(in crate::settings) fn check(&self, reader: &mut SettingsReader) {
        if let Some(address) = self.operator.filter(|address| !address.ip().is_loopback()) {
            let warning =
                format!("{address} is reachable from other machines and requires no authentication");
            reader.warn(OPERATOR_ADDRESS, &warning);
        }
    }
}

fn parse_proxy(text: &str) -> Result<String, String> {
    TrustedProxies::parse([text]).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
