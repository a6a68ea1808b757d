package io.vhostfs.vhost;

import static io.vhostfs.vhost.TestFrontEnd.*;
import static io.vhostfs.vhost.VhostUserConstants.*;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A request as it should be, one of each kind, for tests that spoil it. */
@SuppressWarnings("ArrayRecordComponent") // nobody compares two
record SampleRequest(int request, byte[] payload, int fdCount) {
    static List<SampleRequest> all() {
        List<SampleRequest> samples = new ArrayList<>();
        for (int request : new int[] {
            VHOST_USER_GET_FEATURES,
            VHOST_USER_SET_OWNER,
            VHOST_USER_RESET_OWNER,
            VHOST_USER_GET_PROTOCOL_FEATURES,
            VHOST_USER_GET_QUEUE_NUM,
            VHOST_USER_RESET_DEVICE,
            VHOST_USER_GET_MAX_MEM_SLOTS,
            VHOST_USER_GET_STATUS
        }) {
            samples.add(new SampleRequest(request, new byte[0], 0));
        }
        samples.add(new SampleRequest(VHOST_USER_SET_FEATURES, u64(1L << 32 | 1L << 30), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_PROTOCOL_FEATURES, u64(VhostUserSession.PROTOCOL_FEATURES), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_MEM_TABLE, memTable(GUEST_BASE, RAM_BYTES, USER_BASE, 0), 1));
        samples.add(new SampleRequest(VHOST_USER_ADD_MEM_REG, memReg(1L << 40, RAM_BYTES, 1L << 41, 0), 1));
        samples.add(new SampleRequest(VHOST_USER_REM_MEM_REG, memReg(1L << 40, RAM_BYTES, 1L << 41, 0), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_VRING_NUM, state(0, 64), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_VRING_BASE, state(0, 0), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_VRING_ADDR, vringAddr(0, 0, USER_BASE, USER_BASE, USER_BASE), 0));
        samples.add(new SampleRequest(VHOST_USER_GET_VRING_BASE, state(0, 0), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_VRING_CALL, u64(0), 1));
        samples.add(new SampleRequest(VHOST_USER_SET_VRING_ERR, u64(0), 1));
        samples.add(new SampleRequest(VHOST_USER_SET_VRING_ENABLE, state(0, 1), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_VRING_KICK, u64(0), 1));
        samples.add(new SampleRequest(VHOST_USER_GET_CONFIG, config(0, 40, 0, 40), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_CONFIG, config(0, 40, 1, 40), 0));
        samples.add(new SampleRequest(VHOST_USER_SET_BACKEND_REQ_FD, new byte[0], 1));
        samples.add(new SampleRequest(VHOST_USER_SET_STATUS, u64(1), 0));
        return samples;
    }

    /** Descriptors as the request wants them. */
    int[] fds(TestFrontEnd front) {
        return fds(front, fdCount);
    }

    int[] fds(TestFrontEnd front, int count) {
        int[] fds = new int[count];
        boolean memory = request == VHOST_USER_SET_MEM_TABLE || request == VHOST_USER_ADD_MEM_REG;
        Arrays.fill(fds, memory ? front.ram.fd() : front.kickFd);
        return fds;
    }
}
