//! The protobuf messages of `blackfriday.ProductSaleService`, generated from `proto/`, and
//! their conversion to a [`Sale`].

pub use prost::Message;

#[allow(missing_docs, clippy::all, reason = "generated; the .proto file says what it is")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/blackfriday.rs"));
}

pub use generated::{CategoriaProducto, ProductSaleRequest, ProductSaleResponse};
use sale::{Sale, Violation};

impl TryFrom<ProductSaleRequest> for Sale {
    type Error = Violation;

    /// Fails if a field is outside of its limits.
    fn try_from(request: ProductSaleRequest) -> Result<Self, Violation> {
        let sale = Sale {
            category: request.categoria,
            product_id: request.producto_id,
            price: request.precio,
            quantity: request.cantidad_vendida,
        };
        sale.validate()?;
        Ok(sale)
    }
}

impl From<Sale> for ProductSaleRequest {
    fn from(sale: Sale) -> Self {
        ProductSaleRequest {
            categoria: sale.category,
            producto_id: sale.product_id,
            precio: sale.price,
            cantidad_vendida: sale.quantity,
        }
    }
}

/// The text of the original writer's response for an acknowledged sale. That writer never sets
/// `exito`.
const PROCESSED: &str = "Procesado";

/// Whether a writer's response means that the sale was written.
pub fn is_success(response: &ProductSaleResponse) -> bool {
    response.exito || response.estado == PROCESSED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_field_can_report_success() {
        let success =
            |estado: &str, exito| is_success(&ProductSaleResponse { estado: estado.into(), exito });
        assert!(success("Procesado", false) && success("Procesado", true) && success("", true));
        // The texts with which the original writer reports failures.
        for failure in ["Error marshaling", "Error Kafka", "procesado", ""] {
            assert!(!success(failure, false), "{failure}");
        }
    }

    #[test]
    fn the_encoding_is_that_of_the_contract() {
        let sale = Sale { category: 4, product_id: "tv".into(), price: 1.5, quantity: 300 };
        let request = ProductSaleRequest::from(sale.clone());
        let wire = [
            0x08, 4, // categoria = 1, varint
            0x12, 2, b't', b'v', // producto_id = 2, bytes
            0x19, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, // precio = 3, double
            0x20, 0xac, 0x02, // cantidad_vendida = 4, varint
        ];
        assert_eq!(request.encode_to_vec(), wire);
        let decoded = ProductSaleRequest::decode(wire.as_slice()).unwrap();
        assert_eq!(Sale::try_from(decoded), Ok(sale));
        let response = ProductSaleResponse { estado: "ok".into(), exito: true };
        assert_eq!(response.encode_to_vec(), [0x0a, 2, b'o', b'k', 0x10, 1]);
    }

    #[test]
    fn the_method_is_where_the_proto_puts_it() {
        let files = protox::compile(["product_sale.proto"], ["../../../proto"]).unwrap().file;
        let service = &files[0].service[0];
        let method = service.method[0].name();
        let path = format!("/{}.{}/{method}", files[0].package(), service.name());
        assert_eq!(path, intake::grpc::METHOD_PATH);
    }

    #[test]
    fn the_categories_are_the_shops() {
        for number in 1..=4 {
            let categoria = CategoriaProducto::try_from(number).unwrap();
            assert_eq!(categoria.as_str_name(), sale::Category::from_number(number).name());
        }
    }

    #[test]
    fn a_request_outside_of_the_limits_is_not_converted() {
        let good = ProductSaleRequest {
            categoria: 1,
            producto_id: "tv".into(),
            precio: 1.5,
            cantidad_vendida: 1,
        };
        let field = |request: ProductSaleRequest| Sale::try_from(request).unwrap_err().field;
        // A field that is missing has the default value of its type.
        let without_product = ProductSaleRequest { producto_id: String::new(), ..good.clone() };
        assert_eq!(field(without_product), "producto_id");
        let without_quantity = ProductSaleRequest { cantidad_vendida: 0, ..good.clone() };
        assert_eq!(field(without_quantity), "cantidad_vendida");
        for precio in [-0.01, 1_000_000.01, f64::NAN, f64::INFINITY] {
            assert_eq!(field(ProductSaleRequest { precio, ..good.clone() }), "precio");
        }
        assert!(Sale::try_from(good).is_ok());
    }
}
