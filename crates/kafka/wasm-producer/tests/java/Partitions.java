import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Writes records with the given keys, in hex with a leading x, and prints each one's partition. */
class Partitions {
    public static void main(String[] args) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", args[1]);
        var serializer = new ByteArraySerializer();
        try (var producer = new KafkaProducer<byte[], byte[]>(settings, serializer, serializer)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 3; i < args.length; i++) {
                byte[] key = HexFormat.of().parseHex(args[i].substring(1));
                sent.add(producer.send(new ProducerRecord<>(args[2], key, key)));
            }
            for (var future : sent) {
                System.out.println(future.get().partition());
            }
        }
    }
}
