package io.vhostfs.vhost;

import static io.vhostfs.vhost.VhostUserConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.os.UnixSocket;
import io.vhostfs.virtio.GuestRam;
import io.vhostfs.virtio.VirtioDriver;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A front end under a test's control: sends whole requests, parts of them, and what no front end should.
 *
 * <p>Blocking, with a limit on every wait. One thread.
 */
final class TestFrontEnd implements AutoCloseable {
    static final long GUEST_BASE = 0x1_0000_0000L;
    static final long USER_BASE = 0x7f00_0000_0000L;
    static final int RAM_BYTES = 4 << 20;
    static final long INDIRECT = 1L << 28;
    static final long EVENT_IDX = 1L << 29;
    private static final long TIMEOUT_NS = TimeUnit.SECONDS.toNanos(30);

    /** A reply; {@code payload} without the header, little-endian. */
    record Reply(int request, int flags, ByteBuffer payload) {
        long u64() {
            return payload.getLong(0);
        }

        int u32(int offset) {
            return payload.getInt(offset);
        }
    }

    private final int fd;
    private final UnixSocket socket;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment buffer = arena.allocate(8192, 8);
    final GuestRam ram;
    VirtioDriver driver;
    final int kickFd = Libc.eventfd(0, LibcConstants.EFD_NONBLOCK);
    final int callFd = Libc.eventfd(0, LibcConstants.EFD_NONBLOCK);
    final int errFd = Libc.eventfd(0, LibcConstants.EFD_NONBLOCK);

    TestFrontEnd(Path path) throws IOException {
        this(connect(path));
    }

    TestFrontEnd(int connectedFd) {
        fd = connectedFd;
        socket = new UnixSocket(fd);
        ram = new GuestRam(RAM_BYTES);
        driver = new VirtioDriver(ram.address(), GUEST_BASE, RAM_BYTES, 64, false);
    }

    static int connect(Path path) throws IOException {
        int fd = UnixSocket.open();
        int result = UnixSocket.connect(fd, path.toString());
        if (result < 0) {
            Libc.close(fd);
            throw new IOException(Errno.name(result));
        }
        return fd;
    }

    /** A front end that is let in: while another session ends, visitors are sent away. */
    static TestFrontEnd connectWhenFree(Path path) throws IOException {
        long deadline = System.nanoTime() + TIMEOUT_NS;
        while (true) {
            TestFrontEnd front = new TestFrontEnd(path);
            front.send(VHOST_USER_GET_FEATURES, new byte[0]);
            if (front.receive() != null) {
                return front;
            }
            front.close();
            if (System.nanoTime() > deadline) {
                throw new IOException("no front end is let in at " + path);
            }
        }
    }

    // Payloads.

    static byte[] u64(long value) {
        return buffer(8).putLong(value).array();
    }

    static byte[] state(int index, int num) {
        return buffer(8).putInt(index).putInt(num).array();
    }

    static byte[] vringAddr(int index, int flags, long desc, long used, long avail) {
        return buffer(40)
                .putInt(index)
                .putInt(flags)
                .putLong(desc)
                .putLong(used)
                .putLong(avail)
                .putLong(0)
                .array();
    }

    static byte[] memTable(long... fourPerRegion) {
        byte[] table = new byte[8 + 8 * fourPerRegion.length];
        ByteBuffer payload = ByteBuffer.wrap(table).order(ByteOrder.LITTLE_ENDIAN);
        payload.putInt(fourPerRegion.length / 4).putInt(0);
        for (long value : fourPerRegion) {
            payload.putLong(value);
        }
        return table;
    }

    static byte[] memReg(long guest, long size, long user, long offset) {
        return buffer(40)
                .putLong(0)
                .putLong(guest)
                .putLong(size)
                .putLong(user)
                .putLong(offset)
                .array();
    }

    static byte[] config(int offset, int size, int flags, int payloadBytes) {
        return buffer(12 + payloadBytes)
                .putInt(offset)
                .putInt(size)
                .putInt(flags)
                .array();
    }

    private static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    static byte[] frame(int request, int flags, byte[] payload) {
        return buffer(12 + payload.length)
                .putInt(request)
                .putInt(flags)
                .putInt(payload.length)
                .put(payload)
                .array();
    }

    // Talking.

    void sendRaw(byte[] bytes, int... fds) {
        Memory.copyFromArray(bytes, 0, buffer.address(), bytes.length);
        long sent = socket.send(buffer.address(), bytes.length, fds, fds.length, 0);
        // A back end that has closed already is what some tests provoke; they look at what comes back.
        if (sent != bytes.length && sent != -Errno.EPIPE && sent != -Errno.ECONNRESET) {
            throw new IllegalStateException("sent " + sent + " of " + bytes.length);
        }
    }

    void send(int request, byte[] payload, int... fds) {
        sendRaw(frame(request, VHOST_USER_VERSION, payload), fds);
    }

    /** Sends a request that wants an answer; its u64: 0 when it was granted. */
    long sendAcknowledged(int request, byte[] payload, int... fds) {
        sendRaw(frame(request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, payload), fds);
        Reply reply = receive();
        if (reply == null || reply.request() != request) {
            throw new IllegalStateException("no acknowledgement of " + requestName(request) + ": " + reply);
        }
        return reply.u64();
    }

    Reply ask(int request, byte[] payload) {
        send(request, payload);
        return Objects.requireNonNull(receive(), () -> requestName(request) + " was not answered");
    }

    /** The next reply, or null when the back end closed the connection. */
    @Nullable
    Reply receive() {
        if (!readFully(12)) {
            return null;
        }
        int request = buffer.get(ValueLayout.JAVA_INT, 0);
        int flags = buffer.get(ValueLayout.JAVA_INT, 4);
        byte[] payload = new byte[buffer.get(ValueLayout.JAVA_INT, 8)];
        if (payload.length > 0 && !readFully(payload.length)) {
            return null;
        }
        Memory.copyToArray(buffer.address(), payload, 0, payload.length);
        return new Reply(request, flags, ByteBuffer.wrap(payload).order(ByteOrder.LITTLE_ENDIAN));
    }

    /** Waits until the back end closes the connection; replies before that are dropped. */
    void awaitClosed() {
        while (receive() != null) {}
    }

    private boolean readFully(int length) {
        int done = 0;
        long deadline = System.nanoTime() + TIMEOUT_NS;
        while (done < length) {
            MemorySegment pollfd = buffer.asSlice(8184, 8);
            pollfd.set(ValueLayout.JAVA_INT, 0, fd);
            pollfd.set(ValueLayout.JAVA_INT, 4, LibcConstants.POLLIN);
            Libc.poll(pollfd.address(), 1, 1000);
            long received = socket.receive(buffer.address() + done, length - done, LibcConstants.MSG_DONTWAIT);
            if (received == 0 || received == -Errno.ECONNRESET) {
                return false;
            }
            if (received > 0) {
                done += (int) received;
            } else if (System.nanoTime() > deadline) {
                throw new IllegalStateException("the back end does not answer");
            }
        }
        return true;
    }

    // What a well-behaved front end does.

    void negotiate(long ringFeatures) {
        send(VHOST_USER_SET_OWNER, new byte[0]);
        long offered = ask(VHOST_USER_GET_FEATURES, new byte[0]).u64();
        long protocol = ask(VHOST_USER_GET_PROTOCOL_FEATURES, new byte[0]).u64();
        send(VHOST_USER_SET_PROTOCOL_FEATURES, u64(protocol));
        send(VHOST_USER_SET_FEATURES, u64(offered & (ringFeatures | 1L << VHOST_USER_F_PROTOCOL_FEATURES | 1L << 32)));
    }

    void shareMemory() {
        acknowledged(VHOST_USER_SET_MEM_TABLE, memTable(GUEST_BASE, RAM_BYTES, USER_BASE, 0), ram.fd());
    }

    /** Negotiates, shares memory and starts one ring. */
    VirtioDriver startRing(int index, int size, long ringFeatures) {
        negotiate(ringFeatures);
        shareMemory();
        driver = new VirtioDriver(ram.address(), GUEST_BASE, RAM_BYTES, size, (ringFeatures & 1L << 29) != 0);
        startRing(index, 0);
        return driver;
    }

    /** Starts a ring of {@link #driver} whose memory is shared already. */
    void startRing(int index, int base) {
        acknowledged(VHOST_USER_SET_VRING_NUM, state(index, driver.size()));
        acknowledged(VHOST_USER_SET_VRING_BASE, state(index, base));
        acknowledged(VHOST_USER_SET_VRING_ADDR, driverAddr(index));
        acknowledged(VHOST_USER_SET_VRING_CALL, u64(index), callFd);
        acknowledged(VHOST_USER_SET_VRING_ERR, u64(index), errFd);
        acknowledged(VHOST_USER_SET_VRING_KICK, u64(index), kickFd);
        acknowledged(VHOST_USER_SET_VRING_ENABLE, state(index, 1));
    }

    byte[] driverAddr(int index) {
        return vringAddr(
                index,
                0,
                USER_BASE + driver.descOffset(),
                USER_BASE + driver.usedOffset(),
                USER_BASE + driver.availOffset());
    }

    void acknowledged(int request, byte[] payload, int... fds) {
        long result = sendAcknowledged(request, payload, fds);
        if (result != 0) {
            throw new IllegalStateException(requestName(request) + " was refused: " + result);
        }
    }

    void kick() {
        EventFd.signal(kickFd);
    }

    /** Makes a chain available and kicks when the device wants that; its head. */
    int submit(VirtioDriver.Buffer... buffers) {
        int head = driver.add(buffers);
        if (driver.needsKick()) {
            kick();
        }
        return head;
    }

    /** Sends bytes through the echo device and checks them; kicks when the device wants that. */
    void echo(int seed) {
        long in = GUEST_BASE + RAM_BYTES - 8192;
        long out = in + 4096;
        for (int i = 0; i < 64; i++) {
            Memory.putByte(driver.toLocal(in) + i, (byte) (seed + i));
            Memory.putByte(driver.toLocal(out) + i, (byte) 0);
        }
        int head = submit(new VirtioDriver.Buffer(in, 64, false), new VirtioDriver.Buffer(out, 64, true));
        VirtioDriver.Used used = awaitUsed();
        if (used.head() != head || used.lengthBytes() != 64) {
            throw new IllegalStateException("used " + used + " for head " + head);
        }
        for (int i = 0; i < 64; i++) {
            if (Memory.getByte(driver.toLocal(out) + i) != (byte) (seed + i)) {
                throw new IllegalStateException("byte " + i + " differs");
            }
        }
    }

    VirtioDriver.Used awaitUsed() {
        long deadline = System.nanoTime() + TIMEOUT_NS;
        while (true) {
            VirtioDriver.Used used = driver.takeUsed();
            if (used != null) {
                return used;
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("the device does not answer");
            }
            Thread.onSpinWait();
        }
    }

    /** Counts since the last look, 0 when nobody signalled. */
    static long signals(int eventFd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(ValueLayout.JAVA_LONG);
            return Libc.read(eventFd, value.address(), 8) == 8 ? value.get(ValueLayout.JAVA_LONG, 0) : 0;
        }
    }

    @Override
    public void close() {
        socket.close();
        Libc.close(fd);
        Libc.close(kickFd);
        Libc.close(callFd);
        Libc.close(errFd);
        ram.close();
        arena.close();
    }
}
