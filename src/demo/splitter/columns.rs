//! The columns of `show stat` in HAProxy 2.6, and what its rows hold before the first request.
//!
//! A column is named once, here; a row overrides the columns the splitter has something true to say about.

/// The header without its `# `; a line ends with a comma.
pub(super) const COLUMNS: &str = "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,\
     weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,\
     rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,\
     hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,\
     lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,\
     agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,\
     conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,\
     srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,\
     need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,-,ssl_sess,\
     ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,h2_data_rcvd,h2_settings_rcvd,h2_rst_stream_rcvd,\
     h2_goaway_rcvd,h2_detected_conn_protocol_errors,h2_detected_strm_protocol_errors,h2_rst_stream_resp,\
     h2_goaway_resp,h2_open_connections,h2_backend_open_streams,h2_total_connections,h2_backend_total_streams,\
     h1_open_connections,h1_open_streams,h1_total_connections,h1_total_streams,h1_bytes_in,h1_bytes_out,\
     h1_spliced_bytes_in,h1_spliced_bytes_out,";

/// A frontend.
pub(super) const FRONTEND: &str = "promex,FRONTEND,,,0,0,9982,0,0,0,0,0,0,,,,,OPEN,,,,,,,,,1,4,0,,,,0,0,0,0,,,,0,0,0,0,0,0,,0,0,0,,,0,0,0,0,\
     ,,,,,,,,,,,,,,,,,,,,http,,0,0,0,0,0,0,0,,,0,0,,,,,,,0,,,,,,,,,-,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,\
     0,0,0,0,";

/// A backend with one server.
pub(super) const BACKEND: &str = "web,BACKEND,0,0,0,0,999,0,0,0,0,0,,0,0,0,0,UP,100,1,0,,0,1,0,,1,6,0,,0,,1,0,,0,,,,0,0,0,0,0,0,,,,0,0,0,0,\
     0,0,0,-1,,,0,0,0,0,,,,,,,,,,,,,,http,roundrobin,,,,,,,0,0,0,0,0,,,0,0,0,0,0,,,,,100,0,0,0,-,0,0,0,0,0,0,\
     0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,";

/// A server without health checks.
pub(super) const SERVER: &str = "web,blue,0,0,0,0,,0,0,0,,0,,0,0,0,0,no check,100,1,0,,,1,,,1,6,1,,0,,2,0,,0,,,,0,0,0,0,0,0,,,,0,0,0,,,,,\
     -1,,,0,0,0,0,,,,,,,,,,,,127.0.0.1:19001,,http,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,0,100,,,,-,0,0,0,,,,,,,,,\
     ,,,,,,,,,,,,,";

/// The row with the named columns replaced, and its line end.
pub(super) fn row(idle: &str, fields: &[(&str, String)]) -> String {
    let cells = COLUMNS.split(',').zip(idle.split(',')).map(|(column, default)| {
        fields.iter().find(|(name, _)| *name == column).map_or(default, |(_, value)| value)
    });
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_the_columns_of_the_header() {
        for idle in [FRONTEND, BACKEND, SERVER] {
            assert_eq!(idle.split(',').count(), COLUMNS.split(',').count());
            assert_eq!(row(idle, &[]), format!("{idle}\n"));
        }
    }
}
