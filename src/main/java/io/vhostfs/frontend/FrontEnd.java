package io.vhostfs.frontend;

import static io.vhostfs.os.LibcConstants.*;
import static io.vhostfs.vhost.VhostUserConstants.*;
import static io.vhostfs.virtio.VirtioConstants.*;

import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * A vhost-user front end with a virtio-fs driver's queues: queue 0 takes FORGET and other high priority requests, the
 * queues from 1 on take the rest.
 *
 * <p>{@link #connect} and {@link #start} do what QEMU and the guest's driver do between the plugging of the device and its
 * first request. Tests take single steps instead, and send what they like through {@link #socket}. One thread at a time.
 */
public final class FrontEnd implements AutoCloseable {
    /** The queue of high priority requests. */
    public static final int HIPRIO_QUEUE = 0;

    /** The first request queue. */
    public static final int REQUEST_QUEUE = 1;

    /**
     * What the front end asks for.
     *
     * @param requestQueues request queues beside the high priority one
     * @param queueSize entries of every ring, a power of two
     * @param memoryBytes shared memory, the rings' included
     * @param features virtio feature bits to take when they are offered
     * @param protocolFeatures vhost-user protocol feature bits to take when they are offered
     */
    public record Options(int requestQueues, int queueSize, long memoryBytes, long features, long protocolFeatures) {
        /** One request queue, rings of 512 (a request of 1 MiB fits in), and the features that QEMU and Linux take. */
        public static final Options DEFAULT = new Options(
                1,
                512,
                32 << 20,
                1L << VIRTIO_F_VERSION_1
                        | 1L << VIRTIO_RING_F_INDIRECT_DESC
                        | 1L << VIRTIO_RING_F_EVENT_IDX
                        | 1L << VHOST_USER_F_PROTOCOL_FEATURES,
                1L << VHOST_USER_PROTOCOL_F_MQ
                        | 1L << VHOST_USER_PROTOCOL_F_REPLY_ACK
                        | 1L << VHOST_USER_PROTOCOL_F_CONFIG
                        | 1L << VHOST_USER_PROTOCOL_F_RESET_DEVICE
                        | 1L << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS
                        | 1L << VHOST_USER_PROTOCOL_F_STATUS);

        public Options withRequestQueues(int count) {
            return new Options(count, queueSize, memoryBytes, features, protocolFeatures);
        }

        public Options withQueueSize(int size) {
            return new Options(requestQueues, size, memoryBytes, features, protocolFeatures);
        }

        public Options withMemoryBytes(long bytes) {
            return new Options(requestQueues, queueSize, bytes, features, protocolFeatures);
        }

        /** Without one virtio feature bit. */
        public Options withoutFeature(int bit) {
            return new Options(requestQueues, queueSize, memoryBytes, features & ~(1L << bit), protocolFeatures);
        }

        /** Without one protocol feature bit. */
        public Options withoutProtocolFeature(int bit) {
            return new Options(requestQueues, queueSize, memoryBytes, features, protocolFeatures & ~(1L << bit));
        }
    }

    private final Options options;
    private final FrontEndSocket socket;
    private final SharedMemory memory;
    private final DriverQueue[] queues;
    private long features;
    private long protocolFeatures;

    /** Takes over a connected socket; sends nothing yet. */
    public FrontEnd(FrontEndSocket socket, Options options) throws IOException {
        this.socket = socket;
        this.options = options;
        this.memory = new SharedMemory(options.memoryBytes());
        this.queues = new DriverQueue[1 + options.requestQueues()];
    }

    /** Connects, negotiates, shares the memory and starts all queues. */
    public static FrontEnd connect(Path socketPath, Options options) throws IOException {
        FrontEnd frontEnd = new FrontEnd(FrontEndSocket.connect(socketPath), options);
        try {
            frontEnd.start();
            return frontEnd;
        } catch (IOException | RuntimeException e) {
            frontEnd.close();
            throw e;
        }
    }

    public FrontEndSocket socket() {
        return socket;
    }

    public SharedMemory memory() {
        return memory;
    }

    /** Queue 0 is the high priority one. */
    public DriverQueue queue(int index) {
        return queues[index];
    }

    public int queueCount() {
        return queues.length;
    }

    /** The virtio features both sides have. */
    public boolean hasFeature(int bit) {
        return (features & 1L << bit) != 0;
    }

    /** The protocol features both sides have. */
    public boolean hasProtocolFeature(int bit) {
        return (protocolFeatures & 1L << bit) != 0;
    }

    /** All steps up to running rings. */
    public void start() throws IOException {
        negotiate();
        shareMemory();
        for (int i = 0; i < queues.length; i++) {
            startQueue(i);
        }
        for (int i = 0; i < queues.length; i++) {
            enableQueue(i, true);
        }
        if (hasProtocolFeature(VHOST_USER_PROTOCOL_F_STATUS)) {
            setStatus(VIRTIO_CONFIG_S_ACKNOWLEDGE
                    | VIRTIO_CONFIG_S_DRIVER
                    | VIRTIO_CONFIG_S_FEATURES_OK
                    | VIRTIO_CONFIG_S_DRIVER_OK);
        }
    }

    /** Features, protocol features, number of queues, owner. */
    public void negotiate() throws IOException {
        long offered = get(VHOST_USER_GET_FEATURES);
        features = offered & options.features();
        if (!hasFeature(VIRTIO_F_VERSION_1)) {
            throw new FrontEndException("the back end offers no VIRTIO_F_VERSION_1");
        }
        if (hasFeature(VHOST_USER_F_PROTOCOL_FEATURES)) {
            protocolFeatures = get(VHOST_USER_GET_PROTOCOL_FEATURES) & options.protocolFeatures();
            send(VHOST_USER_SET_PROTOCOL_FEATURES, 0, u64(protocolFeatures));
        }
        if (hasProtocolFeature(VHOST_USER_PROTOCOL_F_MQ)) {
            long available = get(VHOST_USER_GET_QUEUE_NUM);
            if (available < queues.length) {
                throw new FrontEndException("the back end has " + available + " queues; asked for " + queues.length);
            }
        }
        set(VHOST_USER_SET_OWNER, new byte[0]);
        if (hasProtocolFeature(VHOST_USER_PROTOCOL_F_STATUS)) {
            setStatus(0);
            setStatus(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
        }
        set(VHOST_USER_SET_FEATURES, u64(features));
        if (hasProtocolFeature(VHOST_USER_PROTOCOL_F_STATUS)) {
            setStatus(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
        }
    }

    /** Hands the shared memory over, as one slot or as a table of one region. */
    public void shareMemory() throws IOException {
        if (hasProtocolFeature(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
            get(VHOST_USER_GET_MAX_MEM_SLOTS);
            set(
                    VHOST_USER_ADD_MEM_REG,
                    region(
                            VHOST_USER_MEMORY_REGIONS_OFFSET,
                            SharedMemory.GUEST_BASE,
                            memory.sizeBytes(),
                            memory.address(),
                            0),
                    memory.fd());
        } else {
            byte[] table = region(
                    VHOST_USER_MEMORY_REGIONS_OFFSET, SharedMemory.GUEST_BASE, memory.sizeBytes(), memory.address(), 0);
            table[VHOST_USER_MEMORY_NREGIONS_OFFSET] = 1;
            set(VHOST_USER_SET_MEM_TABLE, table, memory.fd());
        }
    }

    /** Allocates the ring at the first call, tells the back end of it, and hands over fresh eventfds. */
    public void startQueue(int index) throws IOException {
        DriverQueue queue = queues[index];
        if (queue == null) {
            queue = new DriverQueue(
                    memory, options.queueSize(), hasFeature(VIRTIO_RING_F_EVENT_IDX), eventfd(), eventfd());
            queues[index] = queue;
        }
        set(VHOST_USER_SET_VRING_NUM, state(index, queue.size()));
        set(VHOST_USER_SET_VRING_BASE, state(index, queue.availIndex()));
        set(VHOST_USER_SET_VRING_ADDR, address(index, queue));
        set(VHOST_USER_SET_VRING_KICK, u64(index), queue.kickFd());
        set(VHOST_USER_SET_VRING_CALL, u64(index), queue.callFd());
    }

    public void enableQueue(int index, boolean enable) throws IOException {
        if (hasFeature(VHOST_USER_F_PROTOCOL_FEATURES)) {
            set(VHOST_USER_SET_VRING_ENABLE, state(index, enable ? 1 : 0));
        }
    }

    /** Stops a ring; returns the index of the next avail entry the back end would have taken. */
    public int stopQueue(int index) throws IOException {
        socket.send(VHOST_USER_GET_VRING_BASE, 0, state(index, 0));
        byte[] reply = socket.receive(VHOST_USER_GET_VRING_BASE);
        return little(reply).getInt(4);
    }

    /** Resets the device the way QEMU does, if the back end can do that. */
    public void resetDevice() throws IOException {
        if (hasProtocolFeature(VHOST_USER_PROTOCOL_F_RESET_DEVICE)) {
            set(VHOST_USER_RESET_DEVICE, new byte[0]);
        }
    }

    public void setStatus(int status) throws IOException {
        set(VHOST_USER_SET_STATUS, u64(status));
    }

    public int status() throws IOException {
        return (int) get(VHOST_USER_GET_STATUS);
    }

    /** Reads the device's configuration space (virtio 1.2, 5.11.4: 36 bytes of tag, number of request queues). */
    public byte[] config(int offset, int size) throws IOException {
        byte[] request = new byte[VHOST_USER_CONFIG_SIZE + size];
        little(request).putInt(VHOST_USER_CONFIG_OFFSET_OFFSET, offset).putInt(VHOST_USER_CONFIG_SIZE_OFFSET, size);
        socket.send(VHOST_USER_GET_CONFIG, 0, request);
        byte[] reply = socket.receive(VHOST_USER_GET_CONFIG);
        if (reply.length != request.length) {
            throw new FrontEndException("the back end refused to give " + size + " bytes of configuration");
        }
        return Arrays.copyOfRange(reply, VHOST_USER_CONFIG_SIZE, reply.length);
    }

    /** A message whose reply is one u64. */
    public long get(int request) throws IOException {
        socket.send(request, 0, new byte[0]);
        byte[] reply = socket.receive(request);
        if (reply.length != 8) {
            throw new FrontEndException("reply to message " + request + " has " + reply.length + " bytes, not 8");
        }
        return little(reply).getLong(0);
    }

    /** A message that has no reply but the acknowledgement, which is awaited when that was negotiated. */
    public void set(int request, byte[] payload, int... fds) throws IOException {
        if (!hasProtocolFeature(VHOST_USER_PROTOCOL_F_REPLY_ACK)) {
            send(request, 0, payload, fds);
            return;
        }
        send(request, VHOST_USER_NEED_REPLY, payload, fds);
        byte[] reply = socket.receive(request);
        if (reply.length != 8) {
            throw new FrontEndException("acknowledgement of message " + request + " has " + reply.length + " bytes");
        }
        long result = little(reply).getLong(0);
        if (result != 0) {
            throw new FrontEndException("the back end refused message " + request + ": " + result);
        }
    }

    /** Payload: a number. */
    public static byte[] u64(long value) {
        byte[] payload = new byte[8];
        little(payload).putLong(0, value);
        return payload;
    }

    /** Payload: {@code struct vhost_vring_state}. */
    public static byte[] state(int index, int number) {
        byte[] payload = new byte[VHOST_VRING_STATE_SIZE];
        little(payload).putInt(VHOST_VRING_STATE_INDEX_OFFSET, index).putInt(VHOST_VRING_STATE_NUM_OFFSET, number);
        return payload;
    }

    /** Payload: {@code struct vhost_user_memory_region} behind {@code prefixBytes} zero bytes. */
    public static byte[] region(int prefixBytes, long guestAddress, long sizeBytes, long userAddress, long mmapOffset) {
        byte[] payload = new byte[prefixBytes + VHOST_USER_MEMORY_REGION_SIZE];
        little(payload)
                .putLong(prefixBytes + VHOST_USER_MEMORY_REGION_GUEST_PHYS_ADDR_OFFSET, guestAddress)
                .putLong(prefixBytes + VHOST_USER_MEMORY_REGION_MEMORY_SIZE_OFFSET, sizeBytes)
                .putLong(prefixBytes + VHOST_USER_MEMORY_REGION_USERSPACE_ADDR_OFFSET, userAddress)
                .putLong(prefixBytes + VHOST_USER_MEMORY_REGION_MMAP_OFFSET_OFFSET, mmapOffset);
        return payload;
    }

    /** Payload: {@code struct vhost_vring_addr} of a queue. */
    public static byte[] address(int index, DriverQueue queue) {
        byte[] payload = new byte[VHOST_VRING_ADDR_SIZE];
        little(payload)
                .putInt(VHOST_VRING_ADDR_INDEX_OFFSET, index)
                .putLong(VHOST_VRING_ADDR_DESC_USER_ADDR_OFFSET, queue.descriptorsAddress())
                .putLong(VHOST_VRING_ADDR_USED_USER_ADDR_OFFSET, queue.usedAddress())
                .putLong(VHOST_VRING_ADDR_AVAIL_USER_ADDR_OFFSET, queue.availAddress());
        return payload;
    }

    @Override
    public void close() {
        socket.close();
        for (DriverQueue queue : queues) {
            if (queue != null) {
                queue.close();
            }
        }
        memory.close();
    }

    private void send(int request, int flags, byte[] payload, int... fds) throws IOException {
        socket.send(request, flags, payload, fds);
    }

    private static int eventfd() throws IOException {
        int fd = Libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            throw new FrontEndException("eventfd: " + Errno.name(fd));
        }
        return fd;
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
