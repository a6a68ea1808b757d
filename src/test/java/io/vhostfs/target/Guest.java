package io.vhostfs.target;

import static org.junit.jupiter.api.Assertions.*;

import io.vhostfs.frontend.FrontEnd;
import io.vhostfs.frontend.FrontEndSocket;
import io.vhostfs.frontend.FuseClient;
import io.vhostfs.os.Libc;
import io.vhostfs.os.LibcConstants;
import java.io.IOException;
import java.nio.file.Path;

/** A guest that has mounted a share: a front end with running rings, and a client that has sent INIT. One thread. */
final class Guest implements AutoCloseable {
    /** Small, so that hundreds of them may come and go: the client's buffers take half of it. */
    static final FrontEnd.Options OPTIONS = FrontEnd.Options.DEFAULT.withMemoryBytes(8 << 20);

    final FrontEnd frontEnd;
    final FuseClient fuse;

    private Guest(FrontEnd frontEnd) {
        this.frontEnd = frontEnd;
        fuse = new FuseClient(frontEnd);
    }

    static Guest mount(Path socket) throws IOException {
        return mount(socket, OPTIONS);
    }

    static Guest mount(Path socket, FrontEnd.Options options) throws IOException {
        Guest guest = new Guest(FrontEnd.connect(socket, options));
        guest.fuse.init();
        return guest;
    }

    /** A guest whose memory nobody can keep from shrinking. */
    static Guest mountUnsealable(Path socket, FrontEnd.Options options) throws IOException {
        FrontEnd frontEnd = new FrontEnd(FrontEndSocket.connect(socket), options);
        assertEquals(0, Libc.fcntl(frontEnd.memory().fd(), LibcConstants.F_ADD_SEALS, LibcConstants.F_SEAL_SEAL));
        frontEnd.start();
        Guest guest = new Guest(frontEnd);
        guest.fuse.init();
        return guest;
    }

    /** Goes away as a guest that is killed: nothing is unmounted. */
    @Override
    public void close() {
        frontEnd.close();
    }
}
